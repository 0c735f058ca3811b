<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * Several PHPs that each poll for events: AWS_LAMBDA_MAX_CONCURRENCY of them, where Lambda sends an environment more
 * than one event at a time. Each runs the bootstrap anew; one that ends is replaced.
 */
final class Workers
{
    /** The exit code of a worker that has reported a failed start: another would fail as well. */
    public const INIT_FAILED = 70;

    private const SOUND = 5.0; // seconds of life after which an end is no sign of trouble
    private const PAUSE = 0.1; // seconds before a replacement of one that ended early; doubles each time
    private const LONGEST = 5.0; // seconds
    private const PATIENCE = 8; // early ends in a row, per worker, before all is given up

    /** @var array<int, array{process: resource, pipe: resource, since: float}> */
    private array $running = [];
    /** @var array<int, float> when to start which again */
    private array $due = [];
    /** @var array<int, int> early ends in a row */
    private array $early = [];
    private bool $stopping = false;

    private function __construct(private readonly string $bootstrap, private readonly int $count)
    {
    }

    /** Return how many are asked for; 1 in a worker itself. */
    public static function wanted(): int
    {
        return \getenv('PHPLAYER_WORKER') === false ? \max(1, (int) \getenv('AWS_LAMBDA_MAX_CONCURRENCY')) : 1;
    }

    /** Run until told to stop, or until no worker stays alive; the exit code. */
    public static function run(string $bootstrap, int $count): int
    {
        $workers = new self($bootstrap, $count);
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
        $descriptors = [0 => ['file', '/dev/null', 'r'], 1 => \STDOUT, 2 => \STDERR, 3 => ['pipe', 'w']];
        $environment = ['PHPLAYER_WORKER' => (string) $number] + \getenv();
        $process = \proc_open([\PHP_BINARY, $this->bootstrap], $descriptors, $pipes, null, $environment);
        if (!\is_resource($process)) {
            $this->ended($number, 1, 0.0);
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
                if ($status['exitcode'] === self::INIT_FAILED) {
                    return 1;
                }
                $this->ended($number, $status['exitcode'], \microtime(true) - $worker['since']);
            } elseif (\in_array($worker['pipe'], $pipes, true)) {
                \usleep(1000); // its end of the pipe is closed: it is about to go
            }
        }
        return \array_sum($this->early) > self::PATIENCE * $this->count ? 1 : null;
    }

    private function ended(int $number, int $code, float $lived): void
    {
        $sound = $code === 0 || $lived >= self::SOUND;
        $this->early[$number] = $sound ? 0 : ($this->early[$number] ?? 0) + 1;
        $pause = $sound ? 0.0 : \min(self::PAUSE * 2 ** ($this->early[$number] - 1), self::LONGEST);
        $this->due[$number] = \microtime(true) + $pause;
        if ($code !== 0) {
            Log::write('WARN', "Worker {$number} ended (exit code {$code}) and is replaced.");
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
