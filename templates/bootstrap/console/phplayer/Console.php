<?php

declare(strict_types=1);

namespace Phplayer;

/** A command that had to be ended before the deadline. */
final class CommandTimedOut extends \RuntimeException
{
}

/**
 * Runs commands of the project's CLI program: a process for each event, without a shell.
 *
 * The event is `{"command": "cache:clear --env=prod"}`, the command alone, or its words as a list. What the command
 * prints goes to the log as it comes; the result is its exit code and the end of its output.
 */
final class Console
{
    private const USUAL = ['bin/console', 'artisan'];
    private const KEPT = 262144; // bytes of output returned, by default
    private const MARGIN = 2000; // ms before the deadline at which the command is told to end, by default
    private const OVERHEAD = 80; // MB that are not the command's: this PHP, and what the other does not count
    private const READ = 65536;

    private readonly string $script;
    private readonly int $kept;
    private string $output = '';
    private int $cut = 0; // bytes of output that are not kept

    /**
     * @param string $name of the program, below the function's folder; a usual one when there is no such file
     *
     * @throws NoSuchHandler
     */
    public function __construct(private readonly string $root, string $name)
    {
        $named = $name === '' || \str_starts_with($name, '/') ? $name : "{$root}/{$name}";
        $usual = \array_map(static fn (string $path): string => "{$root}/{$path}", self::USUAL);
        foreach ([...($named === '' ? [] : [$named]), ...$usual] as $path) {
            if (\is_file($path)) {
                $this->script = $path;
                break;
            }
        }
        if (!isset($this->script)) {
            $looked = \implode(', ', \array_unique([...($named === '' ? [] : [$named]), ...$usual]));
            throw new NoSuchHandler(
                "There is no CLI program to run. Looked for: {$looked}."
                . ' Name it by the handler or by PHPLAYER_CONSOLE, relative to the function\'s folder.'
            );
        }
        $this->kept = \min(Signals::number('PHPLAYER_CONSOLE_OUTPUT_BYTES') ?? self::KEPT, 1 << 20);
    }

    /**
     * @return array{exitCode: int, output: string}
     *
     * @throws BadCommand
     * @throws CommandTimedOut
     */
    public function handle(mixed $event, Context $context): array
    {
        require_once __DIR__ . '/Words.php';
        $words = self::words($event);
        [$this->output, $this->cut] = ['', 0];
        $command = [\PHP_BINARY, ...$this->memoryLimit($context), $this->script, ...$words];
        $descriptors = [0 => ['file', '/dev/null', 'r'], 1 => ['pipe', 'w'], 2 => ['redirect', 1]];
        $process = \proc_open($command, $descriptors, $pipes, $this->root);
        if (!\is_resource($process)) {
            throw new \RuntimeException("{$this->script} could not be started.");
        }
        try {
            $code = $this->watch($process, $pipes[1], $context);
        } finally {
            if (\proc_get_status($process)['running']) {
                \proc_terminate($process, 9);
            }
            \fclose($pipes[1]);
            \proc_close($process);
        }
        if ($code === null) {
            $name = \implode(' ', [\basename($this->script), ...$words]);
            throw new CommandTimedOut(
                "`{$name}` was still running shortly before the deadline and was ended. Its last output: "
                . \substr($this->output(), -1000)
            );
        }
        return ['exitCode' => $code, 'output' => $this->output()];
    }

    /** @return list<string> */
    private static function words(mixed $event): array
    {
        $command = \is_array($event) && \array_key_exists('command', $event) ? $event['command'] : $event;
        if (\is_string($command)) {
            return Words::split($command);
        }
        if (\is_array($command) && \array_is_list($command) && $command === \array_filter($command, \is_string(...))) {
            foreach ($command as $word) {
                if (\str_contains($word, "\0")) {
                    throw new BadCommand('The command holds a NUL byte, which no argument can.');
                }
            }
            return $command;
        }
        throw new BadCommand(
            'The event names no command. Send {"command": "cache:clear --env=prod"}, the command as a string,'
            . ' or its words as a list of strings.'
        );
    }

    /**
     * Log and keep what the process prints until it ends.
     *
     * @param resource $process
     * @param resource $pipe
     *
     * @return int|null the exit code (128 + the signal that ended it); null when time was up
     */
    private function watch($process, $pipe, Context $context): ?int
    {
        // Ended, and killed if need be, before the alarm for any handler rings.
        $margin = \max(self::MARGIN, 3 * (Signals::number('PHPLAYER_DEADLINE_MARGIN_MS') ?? 0));
        $left = $context->deadlineMs > 0 ? $context->remainingMs() : \PHP_INT_MAX;
        $margin = \min($margin, \intdiv($left, 2)); // of a short time, half is the command's
        $term = \microtime(true) + ($left - $margin) / 1000; // SIGTERM then, SIGKILL half-way to the deadline
        $kill = \microtime(true) + ($left - $margin / 2) / 1000;
        $told = false;
        \stream_set_blocking($pipe, false);
        for ($open = true;;) {
            $now = \microtime(true);
            if ($now >= $kill) {
                return null;
            }
            if ($now >= $term && !$told) {
                \proc_terminate($process);
                $told = true;
            }
            $open = $open && $this->read($pipe, \min(0.1, ($told ? $kill : $term) - $now + 0.001));
            $status = \proc_get_status($process);
            if (!$status['running']) {
                $this->read($pipe, 0.0); // what a process that it left behind prints later is not waited for
                if ($told) {
                    return null;
                }
                return $status['signaled'] ? 128 + $status['termsig'] : $status['exitcode'];
            }
            if (!$open) {
                \usleep(1000); // it has closed its output, or is just about to end
            }
        }
    }

    /**
     * @param resource $pipe
     *
     * @return bool whether there can be more
     */
    private function read($pipe, float $seconds): bool
    {
        [$ready, $none, $neither] = [[$pipe], null, null];
        if (!@\stream_select($ready, $none, $neither, 0, (int) (\max($seconds, 0.0) * 1e6))) {
            return true;
        }
        while (($data = \fread($pipe, self::READ)) !== false && $data !== '') {
            echo $data;
            $this->output .= $data;
            if (\strlen($this->output) > 2 * $this->kept + self::READ) {
                $this->trim();
            }
        }
        return !\feof($pipe);
    }

    private function trim(): void
    {
        $surplus = \strlen($this->output) - $this->kept;
        if ($surplus > 0) {
            $this->output = \substr($this->output, $surplus);
            $this->cut += $surplus;
        }
    }

    /** The end of the output as UTF-8 text; says when there was more. */
    private function output(): string
    {
        $this->trim();
        if ($this->cut === 0) {
            $kept = $this->output;
            $mark = '';
        } else {
            $kept = \ltrim($this->output, "\x80..\xbf"); // the rest of a character that was cut
            $mark = '[' . ($this->cut + \strlen($this->output) - \strlen($kept)) . " bytes cut]\n";
        }
        $flags = \JSON_THROW_ON_ERROR | \JSON_INVALID_UTF8_SUBSTITUTE;
        return $mark . (string) \json_decode(\json_encode($kept, $flags), false, 1, \JSON_THROW_ON_ERROR);
    }

    /** @return list<string> what keeps the command within the function's memory, so that PHP tells when it is exhausted */
    private function memoryLimit(Context $context): array
    {
        $limit = $context->memoryMb - self::OVERHEAD;
        $configured = \get_cfg_var('memory_limit');
        return $limit > 16 && ($configured === false || $configured === '-1') ? ['-d', "memory_limit={$limit}M"] : [];
    }
}
