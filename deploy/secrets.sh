#!/bin/sh
# Makes what a deployment must know and nobody else may: certificates, nkeys, the master key and
# passwords of databases, one folder a role. For a laptop, or to begin with.
#   deploy/secrets.sh [FOLDER]
# Run again, it renews the certificates and keeps all the rest.
#
# NEXUS=path/to/nexus    use this binary instead of the image nexus:local
# POSTGRES=host:port     where the databases are, postgres:5432 unless said
# POSTGRES_OPTIONS=...   for example ?sslmode=verify-full
# NATS_HOSTS="a b"       more names of the NATS servers, for their certificate
set -eu

out=${1:-nexus-secrets}
roles="order inventory fulfillment shipping notification gateway ingress"
# Other users of this machine do not get into the folder. The files in it are readable by all, since
# a container reads them as a user of its own and sees its own folder only.
umask 077
mkdir -p "$out/made"
made=$(cd "$out/made" && pwd)

nexus() {
    if [ -n "${NEXUS:-}" ]; then
        command=$1 && shift
        "$NEXUS" "$command" "$made" "$@"
    else
        command=$1 && shift
        docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$made:/made" \
            "nexus:${TAG:-local}" "$command" /made "$@"
    fi
}

# A secret of 32 random bytes, made once.
random() {
    [ -s "$made/$1" ] || od -An -N32 -v -tx1 /dev/urandom | tr -d ' \n' >"$made/$1"
}

# Puts a file at its place in one step: a running role sees the old one or the new one.
put() {
    mkdir -p "$out/${2%/*}" && chmod 755 "$out/${2%/*}"
    cp "$made/$1" "$out/$2.new"
    chmod 444 "$out/$2.new"
    mv -f "$out/$2.new" "$out/$2"
}

# By these names the servers of deploy/nats know each other.
flags="--host nats-0.nats-peers --host nats-1.nats-peers --host nats-2.nats-peers"
for host in ${NATS_HOSTS:-}; do flags="$flags --host $host"; done
# shellcheck disable=SC2086 # names of hosts hold no spaces
nexus certs $flags
nexus nkeys
random master.key
random postgres.password

for role in $roles; do
    random "$role.password"
    printf '[%s]\ndatabase = "postgres://%s:%s@%s/%s%s"\n' "$role" "$role" \
        "$(cat "$made/$role.password")" "${POSTGRES:-postgres:5432}" "$role" \
        "${POSTGRES_OPTIONS:-}" >"$made/$role.toml"
    put "$role.toml" "$role/settings.toml"
    put "$role.pem" "$role/tls.pem"
    put "$role.key" "$role/tls.key"
    put "$role.nk" "$role/nats.nk"
    put "$role.password" "postgres/$role.password"
done
put admin.nk init/nats.nk
for folder in $roles init; do
    put ca.pem "$folder/ca.pem"
    put system.nk "$folder/system.nk"
    put master.key "$folder/master.key"
done
put ca.pem nats/ca.pem
put nats.pem nats/tls.pem
put nats.key nats/tls.key
put nkeys.conf nats/nkeys.conf
put postgres.password postgres/password
echo "$out holds the secrets; $out/made/master.key and $out/made/ca.key belong into a safe too"
