#!/bin/sh
# SPDX-License-Identifier: MIT
# Records what a program of Debian makes in a first, trivial run and in others that use more of it. Needs root.
# usage: tests/workloads.sh PROGRAM    in an empty folder: writes first.json, and a rich-N.json for each other run
#        tests/workloads.sh list       the programs, a line each: name, its file, and those that it runs
# shellcheck disable=SC2016,SC2129  # what stands in single quotes is for the shell that is recorded
set -eu

here=$(cd "$(dirname "$0")" && pwd)
spoc=${SPOC:-$here/../spoc.py}
runs=0

record() {
    profile=$1
    shift
    "${PYTHON:-python3}" -B "$spoc" record -q -n --follow -o "$PWD/$profile" -- "$@" >>out 2>&1 </dev/null || echo "$*: exit code $?" >>out
}

first() {
    record first.json "$@"
}

# Give the run a number, since those in the background are subshells.
rich() {
    runs=$((runs + 1))
    record "rich-$runs.json" "$@"
}

# Wait until COMMAND... succeeds.
until_it() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { echo "in vain: $*" >&2; exit 1; }
        sleep 0.1
    done
}

# End what a run that failed has left behind: the recorders in the background end their commands.
# shellcheck disable=SC2317
clean_up() {
    for job in $(pgrep -P $$); do
        pkill -P "$job" || true
    done
}
trap clean_up EXIT

gone() {
    ! kill -0 "$1"
}

# Of a process that is not our child: by the file that has its number.
stop() {
    pid=$(cat "$2")
    kill "-$1" "$pid"
    until_it gone "$pid"
}

# A port of the loopback that nobody has now.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Names of 100 files in a few folders, with what some tools treat specially.
make_tree() {
    mkdir -p tree/a/b tree/c
    for number in 1 2 3 4 5 6 7 8 9; do
        seq "$number" 5000 >"tree/a/file$number"
        echo "needle $number" >"tree/a/b/.hidden$number"
    done
    ln -s a/file1 tree/link
    ln tree/a/file2 tree/c/hard
    mkfifo tree/fifo
    truncate -s 9M tree/sparse
    chmod 640 tree/a/file3
    touch -d '2001-02-03' tree/a/file4
}

run_cp() {
    echo text >one
    first cp one two
    make_tree
    rich cp -a tree copy
    rich cp -r --preserve=all --sparse=always tree/sparse tree/a copy
    rich cp -f --backup=numbered --remove-destination one two
    rich cp -l one hard
    rich cp -s "$PWD/one" soft
    rich cp --reflink=auto -u -p one tree/a/file1 copy
    rich cp --parents tree/a/b/.hidden1 copy
    rich cp -x -T -R tree copy2
    rich cp one missing/there
    rich cp /proc/self/status from-proc
    rich cp -i one two
    rich cp -r /dev/shm shm
}

run_sed() {
    echo text >one
    first sed s/text/more/ one
    rich sed -i.bak s/text/more/ one
    rich sed -n 'w out.txt' one
    rich sed --follow-symlinks -i 's/more/less/' one
    rich sed -e 's/.*/echo hello/e' one
    rich sed -s -u -n '$=' one one.bak
    rich sed 'r one.bak' one missing
    rich sed --debug -z 's/a/b/' one
    echo 's/x/y/w written' >script
    rich sed -f script one
}

run_sqlite3() {
    first sqlite3 :memory: 'select 1'
    printf 'a,b\n1,2\n' >in.csv
    rich sqlite3 data.db 'create table t(a, b); insert into t values (1, 2); create index i on t(a); select * from t'
    rich sqlite3 data.db 'pragma journal_mode=wal; insert into t values (3, 4); delete from t; vacuum'
    rich sqlite3 data.db '.import --csv in.csv t' '.dump' '.backup copy.db' '.output text' 'select * from t;'
    rich sqlite3 data.db 'pragma mmap_size=1000000; select count(*) from t' '.shell true' '.cd .' '.tables'
    rich sqlite3 data.db "select writefile('w', 'x'), readfile('w'); select name from fsdir('.')"
    rich sqlite3 -A -c -f archive.db in.csv text
    rich sqlite3 -A -x -f archive.db
    rich sqlite3 -readonly data.db 'select * from t'
    rich sqlite3 big.db "pragma cache_size=10; pragma temp_store=file; create table t as with recursive
        n(i) as (select 1 union all select i + 1 from n where i < 30000) select i, hex(randomblob(20)) as h from n;
        select count(*) from (select distinct h from t order by h desc); create table u as select * from t order by h"
    rich sqlite3 data.db '.timer on' '.system true' '.once x' 'select 1;' '.clone clone.db' '.save saved.db'
}

run_openssl() {
    first openssl version
    rich openssl genrsa -out key.pem 2048
    rich openssl req -x509 -key key.pem -subj /CN=localhost -days 2 -out cert.pem
    rich openssl dgst -sha256 key.pem
    rich openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in key.pem -out key.enc
    rich openssl rand -writerand seed -hex 8
    rich openssl speed -seconds 1 -multi 2 -bytes 64 sha256
    mkdir certs
    cp cert.pem certs
    rich openssl rehash certs
    port=$(free_port)
    rich openssl s_server -accept "127.0.0.1:$port" -cert cert.pem -key key.pem -www -naccept 2 &
    until_it sh -c "openssl s_client -connect 127.0.0.1:$port </dev/null | grep -q BEGIN"
    runs=$((runs + 1))
    rich openssl s_client -connect "localhost:$port"
    wait
    rich openssl cms -encrypt -in seed -out seed.cms cert.pem
    rich openssl pkcs12 -export -inkey key.pem -in cert.pem -passout pass:x -out key.p12
    rich openssl s_client -connect "[::1]:1"
    rich openssl ca -help
}

nginx_conf() {
    cat <<END
worker_processes $1;
pid $PWD/nginx.pid;
error_log $PWD/error.log info;
user nobody nogroup;
events { worker_connections 64; }
http {
    access_log $PWD/access.log;
    client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi; scgi_temp_path $PWD/scgi;
    $2
}
END
}

run_nginx() {
    chmod 755 .
    mkdir html
    echo page >html/index.html
    head -c 3000000 /dev/urandom >html/big
    chmod -R a+rX html
    port=$(free_port)
    nginx_conf 1 "server { listen 127.0.0.1:$port; root $PWD/html; }" >first.conf
    first nginx -c "$PWD/first.conf" -t
    nginx_conf 2 "sendfile on; tcp_nopush on; open_file_cache max=10; gzip on; aio threads; directio 1m;
        proxy_cache_path $PWD/cache keys_zone=k:1m; limit_req_zone \$binary_remote_addr zone=l:1m rate=99r/s;
        server { listen 127.0.0.1:$port backlog=9; listen unix:$PWD/socket; root $PWD/html; autoindex on;
            location /list/ { alias $PWD/html/; index none; }
            location /put/ { root $PWD/html; client_body_in_file_only clean; client_max_body_size 9m; proxy_pass http://127.0.0.1:$port/; }
            location /cached/ { proxy_cache k; proxy_cache_valid 1m; proxy_pass http://localhost:$port/; }
            location /unix/ { proxy_pass http://unix:$PWD/socket:/; }
            location /sent/ { alias $PWD/html/; directio off; aio off; } }" >rich.conf
    rich nginx -c "$PWD/rich.conf" -t
    rich nginx -c "$PWD/rich.conf" &
    until_it curl -sf "http://127.0.0.1:$port/"
    for path in big sent/big list/ cached/big cached/big unix/index.html missing; do
        curl -s -o got "http://127.0.0.1:$port/$path" || true
    done
    curl -s -T html/big "http://127.0.0.1:$port/put/new" >/dev/null || true
    curl -s -H 'Range: bytes=5-90' "http://127.0.0.1:$port/sent/big" >/dev/null || true
    curl -s --limit-rate 9M "http://127.0.0.1:$port/big" >/dev/null || true
    kill -HUP "$(cat nginx.pid)"
    kill -USR1 "$(cat nginx.pid)"
    sleep 0.5
    curl -sf "http://127.0.0.1:$port/" >/dev/null
    stop TERM nginx.pid
    wait
}

run_redis() {
    first redis-server --port 0 --unixsocket "$PWD/socket" --save '' --dir "$PWD" &
    until_it redis-cli -s socket ping
    redis-cli -s socket shutdown nosave >/dev/null || true
    wait
    port=$(free_port)
    rich redis-server --port "$port" --bind 127.0.0.1 --dir "$PWD" --appendonly yes --daemonize yes --io-threads 2 \
        --pidfile "$PWD/redis.pid" --logfile "$PWD/redis.log" --appendfsync always --unixsocket "$PWD/socket2" &
    until_it redis-cli -p "$port" ping
    other=$(free_port)
    runs=$((runs + 1))
    rich redis-server --port "$other" --bind 127.0.0.1 --dir "$PWD" --dbfilename other.rdb --replicaof "127.0.0.1 $port" &
    until_it redis-cli -p "$other" ping
    redis-benchmark -q -p "$port" -n 2000 -c 20 -t set,get,lpush >/dev/null
    for command in 'set a b' save 'config set maxmemory 10mb' 'bgrewriteaof' 'eval return(1) 0' 'flushall async' 'info' \
        'client kill type normal' 'config rewrite' 'memory doctor' 'debug sleep 0' 'cluster info' 'role'; do
        # shellcheck disable=SC2086
        redis-cli -p "$port" $command >>out 2>&1 || true
    done
    sleep 0.3
    redis-cli -p "$port" bgsave >>out 2>&1
    until_it grep -q 'Background saving terminated with success' redis.log
    until_it sh -c "redis-cli -p $other info replication | grep -q link_status:up"
    redis-cli -p "$other" shutdown save >>out 2>&1 || true
    redis-cli -p "$port" shutdown >>out 2>&1 || true
    wait
}

# Ask the name server at PORT for NAME by UDP, or by TCP.
ask() {
    python3 - "$@" <<'END'
import socket, struct, sys
port, name, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
query = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + b"".join(
    bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as client:
    client.settimeout(2)
    client.connect(("127.0.0.1", port))
    client.send((struct.pack(">H", len(query)) if kind == "tcp" else b"") + query)
    client.recv(512)
END
}

run_dnsmasq() {
    chmod 755 .
    port=$(free_port)
    set -- --port="$port" --listen-address=127.0.0.1 --bind-interfaces --conf-file=/dev/null --no-hosts
    first dnsmasq "$@" --keep-in-foreground --no-resolv --address=/here/127.0.0.1 --pid-file="$PWD/pid" &
    until_it ask "$port" here udp
    stop TERM pid
    wait
    mkdir hosts tftp
    echo '127.0.0.9 there' >hosts/one
    echo 127.0.0.1 more >addn
    echo data >tftp/file
    printf '#!/bin/sh\ntrue\n' >script
    chmod -R a+rX hosts tftp addn
    chmod a+x script
    up=$(free_port)
    echo 'nameserver 127.0.0.1' >resolv
    rich dnsmasq "$@" --hostsdir="$PWD/hosts" --addn-hosts="$PWD/addn" --resolv-file="$PWD/resolv" --enable-tftp \
        --tftp-root="$PWD/tftp" --log-facility="$PWD/log" --log-queries --user=nobody --pid-file="$PWD/pid2" \
        --server="/up/127.0.0.1#$up" --log-async=5 --cache-size=99 --dns-loop-detect --local-service \
        --dhcp-range=127.0.0.50,127.0.0.60 --dhcp-leasefile="$PWD/leases" --dhcp-script="$PWD/script" &
    until_it ask "$port" there udp
    until_it ask "$port" there tcp
    until_it ask "$port" more tcp
    ask "$port" a.up udp >/dev/null 2>&1 || true
    curl -s --max-time 2 tftp://127.0.0.1/file >/dev/null || true
    echo '127.0.0.8 later' >hosts/two
    kill -HUP "$(cat pid2)"
    kill -USR1 "$(cat pid2)"
    kill -USR2 "$(cat pid2)"
    sleep 0.3
    stop TERM pid2
    wait
}

run_curl() {
    mkdir web
    seq 9000 >web/file
    port=$(free_port)
    python3 -m http.server -b 127.0.0.1 -d web "$port" >/dev/null 2>&1 &
    server=$!
    secure=$(free_port)
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -out cert 2>/dev/null
    openssl s_server -accept "127.0.0.1:$secure" -cert cert -key key -WWW >/dev/null 2>&1 </dev/null &
    second=$!
    until_it curl -sf "http://127.0.0.1:$port/file"
    first curl -s "file://$PWD/web/file"
    rich curl -s "http://localhost:$port/file" -o got -R --create-dirs
    rich curl -s --cacert cert "https://localhost:$secure/web/file" -o sub/got --create-dirs
    rich curl -s -T web/file "http://127.0.0.1:$port/new" -c jar -b jar --limit-rate 1M
    rich curl -Z "http://127.0.0.1:$port/file" "http://127.0.0.1:$port/file" -o one -o two -D headers
    rich curl -s -C - "http://127.0.0.1:$port/file" -o got --keepalive-time 5 --interface 127.0.0.1 --local-port 20000-30000
    rich curl --unix-socket missing http://x/ --retry 1 --retry-delay 1 --retry-all-errors
    rich curl -s --etag-save tag -z got "http://127.0.0.1:$port/file" --trace trace -n --netrc-optional
    rich curl -s --max-time 1 tftp://127.0.0.1:1/x
    rich curl -s --max-time 1 telnet://127.0.0.1:"$port"
    rich curl -s "http://[::1]:$port/file" http://name.invalid/ --happy-eyeballs-timeout-ms 10 -K /dev/null
    kill "$server" "$second"
}

run_bash() {
    echo 'echo done' >script
    first bash -c 'echo one'
    rich bash -c 'echo two | read x; (cd /; pwd); x=$(true); wait; echo $x >file; exec 3<file; read -u 3 y; exec /bin/true'
    rich bash --norc -i -c 'set -m; /bin/true & jobs; fg; history; ulimit -n 99; umask 22; kill -0 $$; times'
    rich bash -c 'trap "echo got" USR1; kill -USR1 $$; read -t 0.1 x </dev/zero; read <<<here; read < <(echo); echo *'
    rich bash -l -i script
    rich bash -c 'coproc read; kill $!; wait; ulimit -a; test -r /etc/passwd; [[ -x . ]]; cd -P ..; echo ~root >&2; set -C'
    rich bash -c 'exec 3<>/dev/tcp/127.0.0.1/1; echo $EPOCHREALTIME $RANDOM $SRANDOM $UID; printf "%(%c)T\n"; mapfile <script'
    rich bash -c 'read x & disown; kill $!; set -o posix; . ./script; kill -9 $!; wait; type -a ls; hash; suspend & kill -CONT $!'
    rich bash --restricted -c 'echo "$PPID" $(<script); ulimit -t 9; printf "%s" {1..9} | while read -r x; do :; done; exit 3'
}

run_sshd() {
    mkdir -p /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f host
    ssh-keygen -q -t ed25519 -N '' -f user
    port=$(free_port)
    printf '%s\n' "Port $port" 'ListenAddress 127.0.0.1' "HostKey $PWD/host" "AuthorizedKeysFile $PWD/user.pub" \
        'StrictModes no' 'UsePAM no' "PidFile $PWD/pid" 'Subsystem sftp internal-sftp' 'PermitRootLogin yes' >config
    set -- -F none -p "$port" -i user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
    first /usr/sbin/sshd -t -f "$PWD/config"
    printf '%s\n' 'X11Forwarding yes' 'PermitTunnel yes' 'Compression yes' "Banner $PWD/config" >>config
    rich /usr/sbin/sshd -f "$PWD/config" &
    until_it ssh "$@" root@127.0.0.1 true
    ssh "$@" -tt root@127.0.0.1 'tty; true' </dev/null >>out 2>&1 || true
    ssh "$@" -C -L "$PWD/forward:127.0.0.1:$port" -R 0:127.0.0.1:"$port" root@127.0.0.1 'sleep 0.2' >>out 2>&1 || true
    ssh "$@" -W "127.0.0.1:$port" root@127.0.0.1 </dev/null >>out 2>&1 || true
    ssh "$@" -o PreferredAuthentications=password -o BatchMode=yes nobody@127.0.0.1 true >>out 2>&1 || true
    shift 2
    shift 2
    printf '%s\n' "put host $PWD/up" "ls -l $PWD" "rename $PWD/up $PWD/down" "chmod 600 $PWD/down" "mkdir $PWD/new" \
        "ln -s a $PWD/sym" "get $PWD/down back" "rm $PWD/down" "rmdir $PWD/new" "df $PWD" >orders
    sftp -F none -P "$port" "$@" -b orders root@127.0.0.1 >>out 2>&1 || true
    kill -HUP "$(cat pid)"
    sleep 0.3
    stop TERM pid
    wait
}

run_registry() {
    port=$(free_port)
    conf() {
        printf '%s\n' 'version: 0.1' 'log: {level: error}' 'storage:' "  filesystem: {rootdirectory: $PWD/store}" \
            '  delete: {enabled: true}' "http: {addr: '127.0.0.1:$port'}"
    }
    conf >conf.yml
    server() {
        "$@" docker-registry serve "$PWD/conf.yml" &
        until_it curl -sf "http://127.0.0.1:$port/v2/"
        pgrep -f "^docker-registry serve $PWD/conf.yml" >pid
    }
    server first
    stop TERM pid
    wait
    server rich
    echo text >blob
    digest=sha256:$(sha256sum blob | cut -d ' ' -f 1)
    where=$(curl -si -X POST "http://127.0.0.1:$port/v2/a/blobs/uploads/" | sed -n 's/^Location: \(.*\)\r$/\1/p')
    curl -s -T blob -H 'Content-Type: application/octet-stream' "$where&digest=$digest" >>out
    curl -s "http://127.0.0.1:$port/v2/a/blobs/$digest" >>out
    curl -s "http://127.0.0.1:$port/v2/_catalog" >>out
    curl -s -X DELETE "http://127.0.0.1:$port/v2/a/blobs/$digest" >>out
    stop TERM pid
    wait
    runs=$((runs + 1))
    rich docker-registry garbage-collect "$PWD/conf.yml"
    rich docker-registry --version
}

run_rg() {
    make_tree
    first rg needle tree/a/file1
    rich rg --hidden needle tree
    rich rg --no-mmap -j 4 --sort modified 1 tree
    gzip -k tree/a/file1
    rich rg -z 11 tree/a
    rich rg --pre cat 11 tree/a/file1
    rich rg --files --follow tree
    rich rg --mmap 4999 tree/a/file2 tree/a/file1
    rich rg --one-file-system -c 1 tree
    rich rg -f tree/a/b/.hidden1 missing
}

files_of() {
    case $1 in
        cp) echo /usr/bin/cp ;;
        sed) echo /usr/bin/sed /bin/sh ;;
        sqlite3) echo /usr/bin/sqlite3 /bin/sh ;;
        openssl) echo /usr/bin/openssl ;;
        nginx) echo /usr/sbin/nginx ;;
        redis) echo /usr/bin/redis-server ;;
        dnsmasq) echo /usr/sbin/dnsmasq /bin/sh ;;
        curl) echo /usr/bin/curl ;;
        bash) echo /usr/bin/bash /bin/true ;;
        sshd) echo /usr/sbin/sshd /usr/bin/bash ;;
        registry) echo /usr/bin/docker-registry ;;
        rg) echo /usr/bin/rg ;;
        *) echo "tests/workloads.sh: no program $1" >&2; exit 2 ;;
    esac
}

if [ "${1:?list, or a program}" = list ]; then
    for name in cp sed sqlite3 openssl nginx redis dnsmasq curl bash sshd registry rg; do
        echo "$name $(files_of "$name")"
    done
else
    files_of "$1" >/dev/null
    export HOME="$PWD" LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"
    umask 022
    "run_$1"
fi
