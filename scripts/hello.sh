#!/bin/sh
# The whole tutorial, from compiling PHP to "Hello, world", in the ignored folder .work/hello.
# Each line that starts with $ is a command of phplayer as a user types it.
set -eu

cd "$(dirname "$0")/.."
began=$(date +%s)
scripts/setup.sh
phplayer=$PWD/.venv/bin/phplayer
python=$PWD/.venv/bin/python
moto_server=$PWD/.venv/bin/moto_server
PHPLAYER_CACHE=${PHPLAYER_CACHE:-$PWD/.work/cache}
export PHPLAYER_CACHE

mkdir -p .work/hello
cp -R examples/hello/. .work/hello/
cd .work/hello
rm -rf hello phplayer.lock.json # of an earlier run; dist/ stays

run() {
    printf '\n$ phplayer %s\n' "$*"
    "$phplayer" "$@"
}

run doctor --fix --yes
run build

# An endpoint that speaks AWS's API stands for an account; nothing leaves this machine.
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
endpoint=http://127.0.0.1:$port
"$moto_server" -H 127.0.0.1 -p "$port" >endpoint.log 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
"$python" - "$port" <<'PYTHON'
import socket, sys, time
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("error: the AWS endpoint did not start; see .work/hello/endpoint.log")
PYTHON
export AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing
unset AWS_PROFILE AWS_SESSION_TOKEN

run publish --region eu-central-1 --endpoint-url "$endpoint"
run new-function hello --region eu-central-1 --endpoint-url "$endpoint"
cd hello
printf '\n$ cd hello && phplayer invoke --event events/hello.json\n'
answer=$("$phplayer" invoke --event events/hello.json)

printf '\nPHP compiled, packed, published and invoked in %s s. The archives and the function lie in .work/hello.\n' \
    "$(($(date +%s) - began))"
printf '%s\n' "$answer"
