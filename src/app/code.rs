//! The program's own code in memory: what only a start needs is given back.
//!
//! The program has some 23 MiB of code, and reading the settings and the certificates runs through most of it once; the kernel
//! maps 64 KiB around every page that is touched. Given back, an idle box maps only what it goes on to use.
//!
//! Facts: madvise(2): after `MADV_DONTNEED` pages of a private mapping of a file are read from the file again. proc(5):
//! `/proc/self/maps`.
#![allow(unsafe_code, reason = "madvise(2) has no safe wrapper")]

use std::ops::Range;
use std::{fs, io};

/// Gives back the memory of the program's code; how many bytes of addresses that were. What is needed again comes from the kernel's cache of the file.
///
/// # Errors
/// When the system does not say where the code is, or refuses. Nothing is lost by it but memory.
pub(super) fn give_back() -> io::Result<usize> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut all = 0;
    for range in maps.lines().filter_map(|line| code(line, &program.to_string_lossy())) {
        // SAFETY: code is mapped from the file for reading only and was never written to (the program has no text relocations),
        // so that each page that goes away comes back the same.
        let result =
            unsafe { libc::madvise(range.start as *mut libc::c_void, range.end - range.start, libc::MADV_DONTNEED) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        all += range.len();
    }
    Ok(all)
}

/// Where a line of the map says that code of the program is: `start-end r-xp offset device inode path`.
fn code(line: &str, program: &str) -> Option<Range<usize>> {
    let (range, rest) = line.split_once(' ')?;
    let (rights, _) = rest.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let path = rest.find('/').and_then(|at| rest.get(at..))?;
    let is_code = rights == "r-xp" && path == program;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    (is_code && !range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_found() {
        let line = "55d0c0a00000-55d0c2000000 r-xp 006e0000 fe:00 131 /usr/bin/sapphire-edge";
        assert_eq!(code(line, "/usr/bin/sapphire-edge"), Some(0x55d0_c0a0_0000..0x55d0_c200_0000));
        for other in [
            line.replace("r-xp", "r--p"),
            line.replace("r-xp", "rwxp"),
            line.replace("/usr/bin/", "/opt/usr/bin/"),
            line.replace("55d0c2000000", "55d0c0a00000"),
            line.replace("-55d0", "-x"),
            "7ffc1 r-xp".to_owned(),
            String::new(),
        ] {
            assert_eq!(code(&other, "/usr/bin/sapphire-edge"), None, "{other}");
        }
    }

    #[test]
    fn it_goes_on_with_what_it_needs() {
        // What runs here is among it.
        assert!(give_back().unwrap() > 1 << 20);
    }
}
