"""What a machine wrote to its disk, write by write, as QEMU's `blklogwrites` keeps it; and the disk as it was at any flush.

Format, Linux 6.12, drivers/md/dm-log-writes.c: a sector with magic, version, entries and sector size; then for each write a
sector with place, length (both in sectors), flags and the length of what follows, and the data. QEMU writes the same
(block/blklogwrites.c).
"""

import random
import struct

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4


class Write:
    """One entry: where it goes on the disk, and where its data is in the log."""

    def __init__(self, at, length, flags, data, end):
        self.at, self.length, self.flags, self.data, self.end = at, length, flags, data, end


def read(path):
    """Every entry that is whole, in the order in which they were written."""
    writes = []
    with path.open("rb") as file:
        magic, version, _, sector = struct.unpack("<QQQI", file.read(28))
        assert (magic, version) == (MAGIC, 1), "no log of writes"
        size, at = path.stat().st_size, sector
        while at + sector <= size:
            file.seek(at)
            place, count, flags, length = struct.unpack("<QQQQ", file.read(32))
            if not (place or count or flags or length):
                break
            data = at + sector
            at = data + (0 if flags & DISCARD else count * sector)
            if at > size:
                break
            writes.append(Write(place * sector, count * sector, flags, data, at))
    return writes


def flushes(writes):
    """Indexes after which everything before is on the disk."""
    return [index for index, write in enumerate(writes) if write.flags & FLUSH]


class Replay:
    """The disk of `base` (changed as it goes) at later and later instants."""

    def __init__(self, log, base, seed):
        self.log, self.base, self.random = log, base, random.Random(seed)
        self.writes, self.done = read(log), 0

    def to(self, index):
        """Everything up to the flush at `index`."""
        self.apply(self.writes[self.done : index + 1], self.base)
        self.done = index + 1

    def torn(self, disk):
        """On a copy of the base, some of what was written before the next flush: a disk may take them in any order."""
        later = []
        for write in self.writes[self.done :]:
            if write.flags & FLUSH:
                break
            later.append(write)
        self.apply([write for write in later if self.random.random() < 0.5], disk)

    def apply(self, writes, disk):
        with self.log.open("rb") as log, disk.open("r+b") as file:
            for write in writes:
                file.seek(write.at)
                # What was discarded reads as anything; zeros are the worst that is likely.
                log.seek(write.data)
                file.write(bytes(write.length) if write.flags & DISCARD else log.read(write.length))
