"""What a function may do, told once and played on every Lambda that can be had: ours, AWS's, SAM's, ministack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from phplayer.runtime import BootstrapMode

Outcome = tuple[str, Any]
"""``("answer", value)``, or ``("error", type)``."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Files, the events they get, and what comes of each."""

    files: Mapping[str, str]
    events: tuple[Any, ...]
    outcomes: tuple[Outcome, ...]
    mode: BootstrapMode = BootstrapMode.FUNCTION
    handler: str = "index"
    timeout: int = 60  # seconds
    memory_mb: int = 1024
    environment: Mapping[str, str] = field(default_factory=dict)
    rie: Mapping[int, Outcome] = field(default_factory=dict)  # where RIE differs: event -> what it does instead
    everywhere: bool = False  # played in containers too


def answer(value: Any) -> Outcome:
    return "answer", value


def error(error_type: str) -> Outcome:
    return "error", error_type


def read(payload: bytes) -> Outcome:
    """Tell an answer from an error, as a caller without headers can: by its form."""
    try:
        value = json.loads(payload)
    except ValueError:
        return answer(payload.decode(errors="replace"))
    if isinstance(value, dict) and "errorType" in value:
        return error(value["errorType"])
    return answer(value)


def one(body: str, *outcomes: Outcome, **more: Any) -> Scenario:
    """Return a scenario of one file and one function; the events are the numbers 0, 1, ..."""
    source = f"function index($event, $context) {{ {body} }}"
    return Scenario(files={"src/index.php": source}, events=tuple(range(len(outcomes))), outcomes=outcomes, **more)


def command(body: str, *calls: tuple[Any, Outcome], **more: Any) -> Scenario:
    """Return a scenario of a project's command line: the events, and what comes of each."""
    return Scenario(
        files={"bin/console": f"<?php {body}"},
        events=tuple(event for event, _ in calls),
        outcomes=tuple(outcome for _, outcome in calls),
        mode=BootstrapMode.CONSOLE,
        **more,
    )


def printed(output: str, *, code: int = 0) -> Outcome:
    return answer({"exitCode": code, "output": output})


FINE = answer("fine")
_FAILS_FIRST = "if ($event > 0) return 'fine';"

SCENARIOS: Mapping[str, Scenario] = {
    "the tutorial's function": Scenario(
        files={"src/index.php": "function index($data) { return 'Hello, ' . $data['name']; }"},
        events=({"name": "world"}, {"name": "again"}),
        outcomes=(answer("Hello, world"), answer("Hello, again")),
        everywhere=True,
    ),
    "a function of a file in a folder": Scenario(
        files={"lib/deep/app.php": "function handle($event) { return $event; }"},
        events=([1.0, None, "ü", {"a": []}],),
        outcomes=(answer([1.0, None, "ü", {"a": []}]),),
        handler="lib/deep/app.handle",
    ),
    "a file that returns a callable": Scenario(
        files={"app.php": "return fn ($event) => $event * 2;"}, events=(4,), outcomes=(answer(8),), handler="app.php"
    ),
    "a method of an autoloaded class": Scenario(
        files={
            "composer.json": '{"autoload": {"psr-4": {"Acme\\\\": "lib/"}}}',
            "lib/Greeter.php": 'namespace Acme; class Greeter { function greet($name) { return "Hi, $name"; } }',
        },
        events=("Ada",),
        outcomes=(answer("Hi, Ada"),),
        handler="Acme\\Greeter::greet",
        everywhere=True,
    ),
    "statics live on": one("static $n = 0; return ++$n;", answer(1), answer(2), answer(3)),
    "a process replaced after so many events": one(
        "static $n = 0; return ++$n;",
        *map(answer, [1, 2, 1, 2, 1]),
        environment={"PHPLAYER_MAX_INVOCATIONS": "2"},
    ),
    "what is printed is no answer": one("echo 'printed'; return 'fine';", FINE),
    "an exception": one(f"{_FAILS_FIRST} throw new DomainException('no');", error("DomainException"), FINE),
    "an error": one(f"{_FAILS_FIRST} return strlen();", error("ArgumentCountError"), FINE, everywhere=True),
    "a warning that the function makes an exception": one(
        f"{_FAILS_FIRST} set_error_handler(fn ($level, $text) => throw new ErrorException($text)); return $missing;",
        error("ErrorException"),
        FINE,
    ),
    "SIGTERM in the middle of an event": one(
        f"{_FAILS_FIRST} posix_kill(getmypid(), SIGTERM); while (true) {{ usleep(1000); }}",
        error("Function.Terminated"),
        FINE,
    ),
    "exit": one(f"{_FAILS_FIRST} exit(3);", error("Function.Exit"), FINE, everywhere=True),
    "a fatal error": one(f"{_FAILS_FIRST} eval('function strlen() {{}}');", error("Function.FatalError"), FINE),
    "memory exhausted": one(
        f"{_FAILS_FIRST} while (true) {{ $kept[] = str_repeat('x', 1 << 20); }}",
        error("Function.OutOfMemory"),
        FINE,
        memory_mb=192,
        everywhere=True,
    ),
    "endless recursion": one(
        f"{_FAILS_FIRST} return 1 + index($event, $context);", error("Function.OutOfMemory"), FINE, memory_mb=192
    ),
    "a result that is not JSON": one(f"{_FAILS_FIRST} return NAN;", error("Function.BadResult"), FINE),
    "a result that is not UTF-8": one(f'{_FAILS_FIRST} return ["\\xff"];', error("Function.BadResult"), FINE),
    "a result that contains itself": one(
        f"{_FAILS_FIRST} $a = []; $a[0] = &$a; return $a;", error("Function.BadResult"), FINE
    ),
    "a response that is too large": one(
        f"{_FAILS_FIRST} return str_repeat('x', (6 << 20) + 200);", error("Function.ResponseSizeTooLarge"), FINE
    ),
    "six megabytes there and back": Scenario(
        files={"src/index.php": "function index($event) { return strrev($event); }"},
        events=("ab" * 3_000_000,),
        outcomes=(answer("ba" * 3_000_000),),
    ),
    "no such file": Scenario(files={}, events=(0,), outcomes=(error("Runtime.NoSuchHandler"),), everywhere=True),
    "no such function": Scenario(
        files={"src/index.php": "function other() {}"}, events=(0,), outcomes=(error("Runtime.NoSuchHandler"),)
    ),
    "no such class": Scenario(
        files={}, events=(0,), outcomes=(error("Runtime.NoSuchHandler"),), handler="Acme\\Greeter::greet"
    ),
    "a signature that takes no event": Scenario(
        files={"src/index.php": "function index($a, $b, $c) { return 1; }"},
        events=(0,),
        outcomes=(error("Runtime.NoSuchHandler"),),
    ),
    "a file that does not parse": Scenario(
        files={"src/index.php": "function ("}, events=(0,), outcomes=(error("Runtime.HandlerParseError"),)
    ),
    "a file that throws": Scenario(
        files={"src/index.php": "throw new Exception('no');"},
        events=(0,),
        outcomes=(error("Runtime.HandlerLoadError"),),
    ),
    "a stream": Scenario(
        files={"src/index.php": "function index() { yield '['; yield '1'; yield ',2]'; }"},
        events=(0, 1),
        outcomes=(answer([1, 2]), answer([1, 2])),
        everywhere=True,
    ),
    "a stream with a status and headers": Scenario(
        files={"src/index.php": "function index() { yield new Phplayer\\Head(201, ['x-a' => 'b']); yield 'made'; }"},
        events=(0,),
        outcomes=(answer('{"statusCode":201,"headers":{"x-a":"b"}}' + "\0" * 8 + "made"),),
    ),
    "a stream that fails late": one(
        "if ($event > 0) { yield '\"fine\"'; return; } yield 'begun'; throw new DomainException('no');",
        error("DomainException"),
        FINE,
        rie={0: answer("begun")},  # it drops the trailers
    ),
    "the runtime is killed": one(
        f"{_FAILS_FIRST} proc_open(['sh', '-c', 'kill -9 $PPID'], [], $pipes); sleep(60);",
        error("Runtime.ExitError"),
        FINE,
    ),
    "a time-out": one(
        f"{_FAILS_FIRST} proc_close(proc_open(['sleep', '60'], [], $pipes));",  # no signal ends that wait
        error("Sandbox.Timedout"),
        FINE,
        timeout=3,
        rie={0: answer("Task timed out after 3.00 seconds")},  # plain text
    ),
    "the deadline is near": one(
        f"{_FAILS_FIRST} while (true) {{ usleep(1000); }}",
        error("Function.DeadlineNear"),
        FINE,
        timeout=8,
        environment={"PHPLAYER_DEADLINE_MARGIN_MS": "8000"},  # half of the time is as much as it takes
    ),
    "the context": one(
        "return [$context->functionName, $context->remainingMs() > 0, strlen($context->requestId), "
        "getenv('_X_AMZN_TRACE_ID') === $context->traceId];",
        answer(["probe", True, 36, True]),
        rie={0: answer(["probe", True, 36, False])},  # it sends no trace
    ),
    "a command and its words": command(
        "echo json_encode(array_slice($argv, 1));",
        ("greet --name='Ada L.' \"a b\"", printed('["greet","--name=Ada L.","a b"]')),
        ({"command": "cache:clear --env=prod"}, printed('["cache:clear","--env=prod"]')),
    ),
    "a command that fails": command(
        "echo 'gone'; if ($argv[1] === 'kill') posix_kill(getmypid(), 9); exit((int) $argv[1]);",
        ("3", printed("gone", code=3)),
        ("kill", printed("gone", code=137)),
        ("0", printed("gone")),
    ),
    "a command that takes too long": command(
        "echo 'begun'; if ($argv[1] === 'long') sleep(600);",
        ("long", error("Phplayer\\CommandTimedOut")),
        ("short", printed("begun")),
        timeout=12,  # six seconds for the command, and four before the alarm rings
        environment={"PHPLAYER_DEADLINE_MARGIN_MS": "2000"},
    ),
}
