"""The vendor's own client reads a double: PORT HOST INTEGRATION_KEY SECRET_KEY CA MINTIME MAXTIME (seconds)."""

import hashlib
import sys

import duo_client

port, host, ikey, skey, ca, mintime, maxtime = sys.argv[1:]
window = {"mintime": str(int(mintime) * 1000), "maxtime": str(int(maxtime) * 1000)}


def client(skey=skey, **more):
    return duo_client.Admin(ikey, skey, host, ca_certs=ca, port=int(port), **more)


def every_page(get, name, limit):
    """All records of a log, by the cursor as the server gave it; the client wants the limit as text or as a number."""
    records, more = [], {}
    while True:
        answer = get(limit=limit, sort="ts:asc", **window, **more)
        records += answer[name]
        cursor = answer["metadata"]["next_offset"]
        if not cursor:
            return records
        more = {"next_offset": cursor}


for version, digest in [(5, hashlib.sha512), (2, hashlib.sha512), (2, hashlib.sha1)]:
    admin = client(sig_version=version, digestmod=digest)
    counts = {
        "authentication": len(every_page(lambda **k: admin.get_authentication_log(api_version=2, **k), "authlogs", "2")),
        "telephony": len(every_page(lambda **k: admin.get_telephony_log(api_version=2, **k), "items", 2)),
        "activity": len(every_page(admin.get_activity_logs, "items", "2")),
        "administrator": len(admin.get_administrator_log(mintime=int(mintime))),
        "offline_enrollment": len(admin.get_offline_log(mintime=int(mintime))),
        "trust_monitor": len(list(admin.get_trust_monitor_events_iterator(**window))),
    }
    print(f"v{version} {digest().name}:", " ".join(f"{log}={count}" for log, count in counts.items()))

try:
    client(skey="wrong").get_administrator_log()
except RuntimeError as error:
    print("wrong key:", error)
