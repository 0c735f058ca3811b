<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * PHPs that each poll for events and are watched: AWS_LAMBDA_MAX_CONCURRENCY of them, where Lambda sends an environment
 * more than one event at a time; one, where PHPLAYER_MAX_INVOCATIONS has it replaced now and then. Lambda takes the end
 * of the process that it started for a failure of the event before, unless the next was asked for.
 *
 * Each runs the bootstrap anew. One that ends is replaced, and the event that it held reported as failed.
 */
final class Workers
{
    private const SOUND = 5.0; // seconds of life after which an end is no sign of trouble
    private const PAUSE = 0.1; // seconds before a replacement of one that ended early; doubles each time
    private const LONGEST = 5.0; // seconds
    private const PATIENCE = 8; // early ends in a row, per worker, before all is given up
    private const STILLBORN = 3; // ends before the first event was asked for, by any worker, before all is given up

    /** @var array<int, array{process: resource, pipe: resource, since: float}> */
    private array $running = [];
    /** @var array<int, Holding|null> */
    private array $holdings = [];
    /** @var array<int, float> when to start which again */
    private array $due = [];
    /** @var array<int, int> early ends in a row */
    private array $early = [];
    private int $stillborn = 0;
    private bool $ready = false; // a worker has asked for an event
    private bool $stopping = false;

    private function __construct(
        private readonly string $bootstrap,
        private readonly int $count,
        private readonly RuntimeApi $api,
    ) {
    }

    /** Run until told to stop, or until no worker stays alive; the exit code. */
    public static function run(string $bootstrap, int $count, RuntimeApi $api): int
    {
        $workers = new self($bootstrap, $count, $api);
        if (\function_exists('pcntl_async_signals')) {
            \pcntl_async_signals(true);
            \pcntl_signal(\SIGTERM, function () use ($workers): void {
                $workers->stopping = true;
            }, false);
        }
        return $workers->watch();
    }

    private function watch(): int
    {
        $this->due = \array_fill(0, $this->count, 0.0);
        for ($number = 0; $number < $this->count; ++$number) {
            $this->holdings[$number] = Holding::make();
        }
        for (;;) {
            $now = \microtime(true);
            foreach ($this->due as $number => $time) {
                if ($time <= $now && !$this->stopping) {
                    unset($this->due[$number]);
                    $this->start($number);
                }
            }
            if ($this->stopping) {
                return $this->end(0);
            }
            $code = $this->wait();
            if ($code !== null) {
                return $this->end($code);
            }
        }
    }

    private function start(int $number): void
    {
        // The worker holds the other end of a pipe open for as long as it lives.
        $descriptors = [0 => ['file', '/dev/null', 'r'], 1 => \STDOUT, 2 => \STDERR, 3 => ['pipe', 'w']]
            + ($this->holdings[$number]?->descriptor() ?? []);
        $this->holdings[$number]?->tell(Holding::STARTING);
        $environment = ['PHPLAYER_WORKER' => (string) $number] + \getenv();
        $process = \proc_open([\PHP_BINARY, $this->bootstrap], $descriptors, $pipes, null, $environment);
        if (!\is_resource($process)) {
            $this->replace($number, 'could not be started', false);
            return;
        }
        $this->running[$number] = ['process' => $process, 'pipe' => $pipes[3], 'since' => \microtime(true)];
    }

    /** Wait until something may have happened; return an exit code when this is the end. */
    private function wait(): ?int
    {
        $until = \min([1.0, ...\array_map(static fn (float $time): float => $time - \microtime(true), $this->due)]);
        $micros = (int) (\max($until, 0.001) * 1e6);
        $pipes = \array_column($this->running, 'pipe');
        if ($pipes === []) {
            \usleep($micros);
        } else {
            [$none, $neither] = [null, null];
            if (@\stream_select($pipes, $none, $neither, 0, $micros) === false) {
                $pipes = []; // a signal
            }
        }
        foreach ($this->running as $number => $worker) {
            $status = \proc_get_status($worker['process']);
            if (!$status['running']) {
                unset($this->running[$number]);
                \fclose($worker['pipe']);
                \proc_close($worker['process']);
                if (!$this->settle($number, $status, \microtime(true) - $worker['since'])) {
                    return 1;
                }
            } elseif (\in_array($worker['pipe'], $pipes, true)) {
                \usleep(1000); // its end of the pipe is closed: it is about to go
            }
        }
        return \array_sum($this->early) > self::PATIENCE * $this->count ? 1 : null;
    }

    /**
     * See to it that a worker that has ended is replaced; false when there is no sense in it.
     *
     * @param array<string, mixed> $status of proc_get_status()
     */
    private function settle(int $number, array $status, float $lived): bool
    {
        $code = $status['signaled'] ? null : $status['exitcode'];
        $how = $code === null ? "was ended by signal {$status['termsig']}" : "ended with exit code {$code}";
        $held = $this->holdings[$number]?->read() ?? Holding::STARTING;
        $this->ready = $this->ready || $held !== Holding::STARTING || $this->isAnyReady();
        if ($held === Holding::STARTING) {
            if (!$this->ready && ($code === Holding::INIT_FAILED || ++$this->stillborn === self::STILLBORN)) {
                if ($code !== Holding::INIT_FAILED) { // which it has reported itself
                    $this->report('', $code, "The PHP process {$how} while the function was loaded.");
                }
                return false;
            }
        } elseif ($held !== Holding::IDLE) {
            $this->report($held, $code, "The PHP process {$how} before this event was answered.");
        }
        $taken = !\in_array($held, [Holding::STARTING, Holding::IDLE], true); // so that this goes on only with events
        $this->replace($number, $how, $code === 0 || $taken || $lived >= self::SOUND);
        return true;
    }

    private function isAnyReady(): bool
    {
        foreach (\array_keys($this->running) as $number) {
            if (($this->holdings[$number]?->read() ?? Holding::STARTING) !== Holding::STARTING) {
                return true;
            }
        }
        return false;
    }

    /** Report the failure of an event, or of the start. */
    private function report(string $requestId, ?int $code, string $message): void
    {
        require_once __DIR__ . '/Failure.php';
        $failure = match ($code) {
            null => Failure::named(
                'Function.Killed',
                "{$message} Signal 9 may mean that the function's memory was exhausted."
            ),
            Holding::API_FAILED => Failure::named(
                'Runtime.ApiFailed',
                "{$message} The Runtime API had failed it, as its last record in the log tells; the function had not."
            ),
            default => Failure::named('Function.Exit', $message),
        };
        Log::$requestId = $requestId;
        Log::failure($failure->document());
        try {
            if ($requestId === '') {
                $this->api->failInit($failure->category(), $failure->json());
            } else {
                $this->api->fail($requestId, $failure->category(), $failure->json());
            }
        } catch (ConnectionLost | RuntimeApiRefused $reason) {
            Log::write('ERROR', "The Runtime API could not be told: {$reason->getMessage()}.");
        }
        Log::$requestId = '';
    }

    private function replace(int $number, string $how, bool $sound): void
    {
        $this->early[$number] = $sound ? 0 : ($this->early[$number] ?? 0) + 1;
        $pause = $sound ? 0.0 : \min(self::PAUSE * 2 ** ($this->early[$number] - 1), self::LONGEST);
        $this->due[$number] = \microtime(true) + $pause;
        if ($how !== 'ended with exit code 0') {
            Log::write('WARN', "Worker {$number} {$how} and is replaced.");
        }
    }

    private function end(int $code): int
    {
        foreach ($this->running as $worker) {
            \proc_terminate($worker['process']);
        }
        foreach ($this->running as $worker) {
            \proc_close($worker['process']);
        }
        return $code;
    }
}
