#!/usr/bin/env bash
# Runs the public suite of cache tests (https://github.com/http-tests/cache-tests) against `afpa accelerate`, which
# stands in front of the suite's own origin; prints how many of its tests pass, and which of those that count do not.
#
#   crates/bench/cache-tests.sh SUITE [RESULT.json]
#
# SUITE is a checkout of the suite, with its dependencies (npm install --omit=dev); Node 18 or later runs it. Nothing
# is fetched here. RESULT.json gets the results as the suite publishes them; `cache-tests.json` if it is not named.
# AFPA names the program to be tested; `target/release/afpa` otherwise.
set -Eeuo pipefail

main() {
    if (($# < 1 || $# > 2)); then
        echo "usage: ${0##*/} SUITE [RESULT.json]" >&2
        exit 2
    fi
    local suite=$1 result=${2:-cache-tests.json} root
    root=$(cd "$(dirname "$0")/../.." && pwd)
    local afpa=${AFPA:-$root/target/release/afpa}
    require "$suite/test-engine/cli.mjs" "$suite is not a checkout of the suite"
    require "$suite/node_modules/undici/package.json" "run \`npm install --omit=dev\` in $suite first"
    require "$afpa" "build it first, or name it with AFPA"
    suite=$(cd "$suite" && pwd)
    result=$(realpath -m "$result")
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    local port
    port=$(free_port)
    # The suite takes its settings where npm puts them.
    (
        cd "$suite"
        npm_config_protocol=http npm_config_port=$port npm_config_pidfile=$work/origin.pid \
            exec node test-engine/server/server.mjs
    ) >"$work/origin" 2>&1 &
    started+=($!)
    touch "$work/origin" "$work/proxy"
    await "$work/origin" '^Listening on ' >/dev/null
    "$afpa" accelerate "http://127.0.0.1:$port" --listen 127.0.0.1:0 >"$work/proxy" 2>&1 &
    started+=($!)
    local line
    line=$(await "$work/proxy" ' on http://')
    local url=http://${line##* on http://}
    url=${url%% *}

    echo "the suite's tests run against $url, which takes a minute"
    (
        cd "$suite"
        npm_config_base=$url npm_package_config_id='' node --no-warnings test-engine/cli.mjs
    ) >"$result"
    summarize "$suite" "$result"
    echo "results: $result"
}

require() {
    if [[ ! -e $1 ]]; then
        echo "$1 does not exist: $2" >&2
        exit 1
    fi
}

free_port() {
    node --eval '
        const server = require("net").createServer()
        server.listen(0, () => { console.log(server.address().port); server.close() })'
}

# Waits for a line in a file that a program writes, and prints it.
await() {
    local file=$1 pattern=$2
    for _ in {1..200}; do
        if grep --max-count=1 -e "$pattern" "$file"; then
            return
        fi
        sleep 0.05
    done
    echo "no line like '$pattern' within 10 s; what was said:" >&2
    cat "$file" >&2
    return 1
}

# A test whose dependencies fail does not pass. Tests for browsers alone were not run.
summarize() {
    SUITE=$1 RESULT=$2 node --no-warnings --input-type=module --eval '
        const { SUITE, RESULT } = process.env
        const { default: suites } = await import(`${SUITE}/tests/index.mjs`)
        const { determineTestResult, resultTypes } = await import(`${SUITE}/test-engine/lib/results.mjs`)
        const { readFileSync } = await import("fs")
        const results = JSON.parse(readFileSync(RESULT))
        const counts = { required: [0, 0], optimal: [0, 0], check: [0, 0] }
        for (const test of suites.flatMap(suite => suite.tests).filter(test => !test.browser_only)) {
            const kind = test.kind ?? "required"
            const outcome = determineTestResult(suites, test.id, results)
            const passed = outcome === resultTypes.pass || outcome === resultTypes.yes
            counts[kind][0] += passed
            counts[kind][1] += 1
            if (!passed && kind !== "check") {
                const name = Object.keys(resultTypes).find(name => resultTypes[name] === outcome)
                const why = name === "dependency_fail" ? test.depends_on.join(", ") : results[test.id]?.[1] ?? ""
                console.log(`${kind} ${test.id}: ${name}: ${why}`)
            }
        }
        for (const [kind, [passed, all]] of Object.entries(counts)) console.log(`${kind}: ${passed} of ${all} passed`)
    '
}

clean_up() {
    for process in "${started[@]}"; do
        kill "$process" 2>/dev/null || continue
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$work"
}

started=()
main "$@"
