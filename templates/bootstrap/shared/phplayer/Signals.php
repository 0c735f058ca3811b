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
 * It needs pcntl; without it Lambda's own time-out speaks, which knows no stack. The alarm counts whole seconds, so a
 * short-lived process sleeps through the rest of the last one and its end (SIGCHLD) is what rings. PHP hears a signal
 * between two of its operations: a call that blocks and cannot be interrupted is not left before it returns.
 */
final class Signals
{
    private const MARGIN = 500; // ms before the deadline, by default
    private const START = 0.01; // seconds that the sleeping process takes to start

    private readonly bool $able;
    private readonly ?int $margin; // ms; null: the default, or a tenth of a short time-out
    private readonly int $pid;
    private float $at = 0.0; // when to interrupt, in seconds of Unix time; 0: not
    private int $deadlineMs = 0;
    private bool $open = false; // the handler's own code runs
    private bool $terminated = false;
    /** @var resource|null */
    private $sleeper = null;
    private mixed $childHandler = null;

    /**
     * @param \Closure(string, string): never $interrupt given the type and message of the failure
     * @param \Closure(): void $stop called once at SIGTERM
     */
    public function __construct(private readonly \Closure $interrupt, private readonly \Closure $stop)
    {
        $margin = \getenv('PHPLAYER_DEADLINE_MARGIN_MS');
        $this->margin = $margin === false || !\ctype_digit($margin) ? null : (int) $margin;
        $this->pid = (int) \getmypid();
        $this->able = \function_exists('pcntl_async_signals') && \function_exists('pcntl_alarm');
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
            $this->release(true);
        }
        if ($deadlineMs > 0 && $this->margin !== 0) {
            $now = \microtime(true);
            $left = $deadlineMs - $now * 1000;
            $margin = $this->margin === null ? \min(self::MARGIN, $left / 10) : \min($this->margin, $left / 2);
            $this->deadlineMs = $deadlineMs;
            $this->at = ($deadlineMs - $margin) / 1000;
            $this->arm($this->at - $now);
        }
    }

    /** The handler has ended. */
    public function leave(): void
    {
        $this->open = false;
        if ($this->at !== 0.0) {
            $this->at = 0.0;
            \pcntl_alarm(0);
            if ($this->sleeper !== null) {
                $this->wake();
            }
        }
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

    private function arm(float $seconds): void
    {
        if ($seconds >= 1.0) {
            \pcntl_alarm((int) $seconds);
        } elseif ($this->sleeper === null) {
            $this->childHandler = \pcntl_signal_get_handler(\SIGCHLD);
            \pcntl_signal(\SIGCHLD, $this->ring(...));
            $code = 'usleep(' . (int) (\max($seconds - self::START, 0.001) * 1e6) . ');';
            $sleeper = \proc_open([\PHP_BINARY, '-n', '-r', $code], [], $pipes);
            $this->sleeper = \is_resource($sleeper) ? $sleeper : null;
        }
    }

    private function wake(): void
    {
        \pcntl_signal(\SIGCHLD, $this->childHandler ?? \SIG_DFL);
        \proc_terminate($this->sleeper, \SIGKILL);
        \proc_close($this->sleeper);
        $this->sleeper = null;
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
        if ($this->at === 0.0) {
            return;
        }
        $now = \microtime(true);
        if ($now < $this->at) {
            if ($this->sleeper !== null && \proc_get_status($this->sleeper)['running']) {
                return; // another child's end
            }
            if ($this->sleeper !== null) {
                $this->wake();
            }
            $this->arm($this->at - $now);
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
