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
 * PHP's alarm counts whole seconds, and one that rings early would cut a sleep() short. So a second process keeps the
 * time, forked before there is anything of the function's to share. It sleeps until the moment that a file named when
 * it last looked, looks again, and sends SIGALRM when the moment it finds there has come: an event costs one write to a
 * file and no wake-up.
 */
final class Signals
{
    private const MARGIN = 500; // ms before the deadline, by default
    private const EARLY = 0.01; // seconds that a clock may differ between two looks

    private readonly bool $able;
    private readonly ?int $margin; // ms; null: the default, or a tenth of a short time-out
    private readonly int $pid;
    private float $at = 0.0; // when to interrupt, in seconds of Unix time; 0: not
    private float $told = 0.0; // what the keeper's file says
    private int $deadlineMs = 0;
    private bool $open = false; // the handler's own code runs
    private bool $terminated = false;
    /** @var resource|null where the keeper looks; null: there is no keeper to be had */
    private $board = null;
    /** @var resource|null wakes the keeper; it ends when this is closed */
    private $bell = null;

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
            if ($this->margin !== 0) {
                $this->hire();
            }
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
        if ($left <= 0 || $this->board === null) {
            return;
        }
        $margin = $this->margin === null ? \min(self::MARGIN, $left / 10) : \min($this->margin, $left / 2);
        $this->deadlineMs = $deadlineMs;
        $this->at = ($deadlineMs - $margin) / 1000;
        \fseek($this->board, 0);
        \fwrite($this->board, \pack('d', $this->at));
        if ($now >= $this->told - self::EARLY) { // it has looked since, and saw nothing to come
            \fwrite($this->bell, '.');
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

    /** Fork the keeper. Not a child of this process: a handler may wait for all that it forked. */
    private function hire(): void
    {
        $board = @\tmpfile();
        $pair = @\stream_socket_pair(\STREAM_PF_UNIX, \STREAM_SOCK_STREAM, 0);
        if ($board === false || $pair === false) {
            return;
        }
        $path = \stream_get_meta_data($board)['uri'];
        $view = \fopen($path, 'r'); // with a position of its own
        \unlink($path);
        $parent = \pcntl_fork();
        if ($parent === 0) {
            if (\pcntl_fork() === 0) {
                \fclose($pair[0]);
                self::keep($view, $pair[1], $this->pid);
            }
            self::kill((int) \getmypid(), \SIGKILL); // sooner than PHP's own end
            exit(0);
        }
        if ($parent > 0) {
            \pcntl_waitpid($parent, $status);
            [$this->board, $this->bell] = [$board, $pair[0]];
        }
    }

    /**
     * The keeper's whole life: until the other end of the bell is closed, which no process can help when it ends.
     *
     * @param resource $view
     * @param resource $bell
     */
    private static function keep($view, $bell, int $pid): void
    {
        \stream_set_read_buffer($view, 0);
        for ($rung = '';;) {
            \fseek($view, 0);
            $at = (string) \fread($view, 8);
            $left = \strlen($at) === 8 ? \unpack('d', $at)[1] - \microtime(true) : 0.0;
            [$read, $none, $neither] = [[$bell], null, null];
            if ($left > 0) {
                $count = \stream_select($read, $none, $neither, (int) $left, (int) (\fmod($left, 1) * 1e6));
            } else {
                if ($at !== $rung) {
                    self::kill($pid, \SIGALRM);
                    $rung = $at;
                }
                $count = \stream_select($read, $none, $neither, null);
            }
            if ($count && \fread($bell, 64) === '') {
                return;
            }
        }
    }

    private static function kill(int $pid, int $signal): void
    {
        if (\function_exists('posix_kill')) {
            \posix_kill($pid, $signal);
        } else {
            \exec("kill -{$signal} {$pid}");
        }
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
