<?php

declare(strict_types=1);

namespace Phplayer;

/** Thrown into a handler whose event was reported as failed, so that what it holds is released. */
final class Interrupted extends \Error
{
}

/**
 * Interrupts a handler shortly before its deadline, and when Lambda ends the environment (SIGTERM).
 *
 * It needs pcntl; without it Lambda's own time-out speaks, which knows no stack. PHP hears a signal between two of its
 * operations: a call that blocks and cannot be interrupted is not left before it returns.
 *
 * PHP's alarm counts whole seconds, and one that rings early would cut a sleep() short. So a second process, started
 * with the first event, keeps the time. It sleeps until the moment that a file named when it last looked, looks again,
 * and sends SIGALRM when the moment it finds there has come: an event costs one write to a file and no wake-up.
 */
final class Signals
{
    private const MARGIN = 500; // ms before the deadline, by default
    private const EARLY = 0.01; // seconds that a clock may differ between two looks

    /** Arguments: the file, the process to signal. Ends with that process, whose end of the pipe is closed then. */
    private const KEEPER = <<<'PHP'
        $pipe = fopen('php://fd/3', 'r');
        $board = fopen($argv[1], 'r');
        stream_set_read_buffer($board, 0);
        for ($rung = '';;) {
            fseek($board, 0);
            $at = (string) fread($board, 17);
            $left = (float) $at - microtime(true);
            [$read, $none, $neither] = [[$pipe], null, null];
            if ($left > 0) {
                $count = stream_select($read, $none, $neither, (int) $left, (int) (fmod($left, 1) * 1e6));
            } else {
                if ($at !== $rung) {
                    exec("kill -ALRM {$argv[2]}");
                    $rung = $at;
                }
                $count = stream_select($read, $none, $neither, null);
            }
            if ($count && fread($pipe, 64) === '') {
                exit;
            }
        }
        PHP;

    private readonly bool $able;
    private readonly ?int $margin; // ms; null: the default, or a tenth of a short time-out
    private readonly int $pid;
    private float $at = 0.0; // when to interrupt, in seconds of Unix time; 0: not
    private float $told = 0.0; // what the keeper's file says
    private int $deadlineMs = 0;
    private bool $open = false; // the handler's own code runs
    private bool $terminated = false;
    /** @var resource|false|null the keeper's file; false: there is no keeper to be had */
    private $board = null;
    /** @var resource|null */
    private $pipe = null;
    /** @var resource|null the shell that started it, ended long since; the pipe lives as long as this */
    private $shell = null;

    /**
     * @param \Closure(string, string): never $interrupt given the type and message of the failure
     * @param \Closure(): void $stop called once at SIGTERM
     */
    public function __construct(private readonly \Closure $interrupt, private readonly \Closure $stop)
    {
        $margin = \getenv('PHPLAYER_DEADLINE_MARGIN_MS');
        $this->margin = $margin === false || !\ctype_digit($margin) ? null : (int) $margin;
        $this->pid = (int) \getmypid();
        $this->able = \function_exists('pcntl_async_signals') && \function_exists('pcntl_signal');
        if ($this->able) {
            \pcntl_async_signals(true);
            \pcntl_signal(\SIGALRM, $this->ring(...));
            // The wait for the next event has to end, too: without restarting what is interrupted.
            \pcntl_signal(\SIGTERM, $this->terminate(...), false);
        }
    }

    /** The handler begins. */
    public function enter(int $deadlineMs): void
    {
        $this->open = true;
        if (!$this->able) {
            return;
        }
        if ($this->terminated) {
            $this->ring();
        }
        $now = \microtime(true);
        $left = $deadlineMs - $now * 1000;
        if ($left <= 0 || $this->margin === 0 || $this->board === false) {
            return;
        }
        $margin = $this->margin === null ? \min(self::MARGIN, $left / 10) : \min($this->margin, $left / 2);
        $this->deadlineMs = $deadlineMs;
        $this->at = ($deadlineMs - $margin) / 1000;
        if ($this->board === null) {
            $this->hire();
        } else {
            \fseek($this->board, 0);
            \fwrite($this->board, \sprintf('%017.5F', $this->at));
            if ($now >= $this->told - self::EARLY) { // it has looked since, and saw nothing to come
                \fwrite($this->pipe, '.');
            }
        }
        $this->told = $this->at;
    }

    /** The handler has ended. */
    public function leave(): void
    {
        $this->open = false;
        $this->at = 0.0;
    }

    /** Nothing may be interrupted until ``release``, which is given what this returns. */
    public function hold(): bool
    {
        $open = $this->open;
        $this->open = false;
        return $open;
    }

    public function release(bool $open): void
    {
        $this->open = $open;
        if ($open && $this->able) {
            $this->ring();
        }
    }

    public function isTerminated(): bool
    {
        return $this->terminated;
    }

    /** Start the keeper. No child of this process: a handler may wait for all that it forked. */
    private function hire(): void
    {
        $board = @\tmpfile();
        if ($board === false || !\function_exists('proc_open')) {
            $this->board = false;
            return;
        }
        \fwrite($board, \sprintf('%017.5F', $this->at));
        $command = ['sh', '-c', '"$@" 3<&3 &', 'sh', \PHP_BINARY, '-n', '-r', self::KEEPER, '--'];
        $arguments = [\stream_get_meta_data($board)['uri'], (string) $this->pid];
        $null = ['file', '/dev/null', 'r+'];
        $shell = @\proc_open([...$command, ...$arguments], [$null, $null, $null, ['pipe', 'r']], $pipes);
        if (!\is_resource($shell)) {
            $this->board = false;
            return;
        }
        while (\proc_get_status($shell)['running']) { // proc_close() would close the pipe as well
            \usleep(100);
        }
        [$this->board, $this->pipe, $this->shell] = [$board, $pipes[3], $shell];
    }

    /** It may be time: interrupt the handler if so. */
    private function ring(): void
    {
        if (!$this->open || \getmypid() !== $this->pid) {
            return; // asked again when it is open; a process that the handler forked is not ours to interrupt
        }
        if ($this->terminated) {
            $this->leave();
            ($this->interrupt)('Function.Terminated', 'Lambda ended the environment (SIGTERM) while the handler ran.');
        }
        $now = \microtime(true);
        if ($this->at === 0.0 || $now < $this->at - self::EARLY) {
            return;
        }
        $left = $this->deadlineMs - (int) ($now * 1000);
        $this->leave();
        ($this->interrupt)(
            'Function.DeadlineNear',
            "The handler was still running {$left} ms before its deadline. The stack tells where it was."
        );
    }

    private function terminate(): void
    {
        if (\getmypid() !== $this->pid) {
            exit(128 + \SIGTERM);
        }
        $this->terminated = true;
        ($this->stop)();
        $this->ring();
    }
}
