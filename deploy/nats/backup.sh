#!/bin/sh
# Copies all that Nexus keeps on NATS into a folder, or puts a copy back into empty servers. Needs
# the nats command and the admin user: NATS_URL, NATS_NKEY, NATS_CA.
#   backup.sh backup            into /backup/<time>
#   backup.sh restore FOLDER    from /backup/FOLDER
#   backup.sh erased            the erase ledger alone, into /backup/erased: small, so run it often
set -eu

logs="ORDER INVENTORY FULFILLMENT SHIPPING NOTIFICATION INGRESS GATEWAY"
# Each after what names it: a log that was copied names no blob and no key that was not. Leases and
# checkpoints are left out: after a restore they would speak of commits that are not there.
rest="OBJ_nexus_blobs KV_nexus_timers KV_nexus_keys KV_nexus_erased"
root=${BACKUP_ROOT:-/backup}

# Whole or not at all, for one stream.
copy() {
    rm -rf "$2.new"
    nats stream backup "$1" "$2.new" --no-progress
    rm -rf "$2"
    mv "$2.new" "$2"
}

case ${1:-} in
backup)
    folder=$root/$(date -u +%Y%m%dT%H%M%SZ)
    mkdir -p "$folder"
    for stream in $logs $rest; do copy "$stream" "$folder/$stream"; done
    copy KV_nexus_erased "$root/erased"
    touch "$folder/complete"
    echo "all streams are in $folder"
    ;;
erased)
    copy KV_nexus_erased "$root/erased"
    ;;
restore)
    folder=$root/${2:?name the folder below $root}
    [ -e "$folder/complete" ] || { echo "$folder is no complete backup"; exit 1; }
    [ -d "$root/erased" ] || { echo "$root/erased is missing: it keeps erased people erased"; exit 1; }
    for stream in $logs OBJ_nexus_blobs KV_nexus_timers KV_nexus_keys; do
        nats stream restore "$folder/$stream" --no-progress
    done
    # The newest there is, not the one of that time: who was erased since then stays erased.
    nats stream restore "$root/erased" --no-progress
    echo "now run nexus init, which deletes again the keys of who was erased"
    ;;
*)
    echo "usage: backup.sh backup | erased | restore FOLDER" >&2
    exit 2
    ;;
esac
