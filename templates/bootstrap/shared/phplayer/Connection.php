<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * One keep-alive HTTP/1.1 connection over a stream socket, which every PHP has.
 *
 * There is no time limit on an answer: the wait for the next event lasts as long as Lambda freezes the environment.
 * A lost connection is made anew a bounded number of times.
 */
final class Connection
{
    private const READ = 65536; // bytes asked of the kernel at once
    private const HEAD_LIMIT = 1 << 20; // bytes; a head longer than this is not HTTP
    private const CONNECT_TIMEOUT = 5.0; // seconds
    private const USUAL = ['HTTP/1.1 200 ' => 200, 'HTTP/1.1 202 ' => 202]; // read without a closer look

    /** Microseconds before each further attempt; the first repeats at once, for it meets a closed keep-alive. */
    private const PAUSES = [0, 50_000, 100_000, 200_000, 400_000];

    /** A signal has told PHP to end: what is waited for without having begun is given up. */
    public bool $stopping = false;

    /** @var resource|null */
    private $socket = null;
    private string $buffer = '';
    private bool $streaming = false;
    private bool $patient = false; // what is awaited may take for ever
    private readonly \Closure $deaf;

    public function __construct(private readonly string $address)
    {
        // Socket functions warn about what is handled here. `@` would still call an error handler of the function's.
        $this->deaf = static fn (): bool => true;
    }

    /**
     * Send a whole request and return its response. A ``$patient`` one is given up when PHP is told to end.
     *
     * @throws ConnectionLost after the last attempt
     */
    public function exchange(string $request, bool $patient = false): Response
    {
        \set_error_handler($this->deaf);
        $this->patient = $patient;
        try {
            for ($attempt = 0; ; ++$attempt) {
                try {
                    return $this->attempt($request);
                } catch (ConnectionLost $lost) {
                    $this->close();
                    if (!isset(self::PAUSES[$attempt]) || ($patient && $this->stopping)) {
                        throw $lost;
                    }
                    \usleep(self::PAUSES[$attempt]);
                }
            }
        } finally {
            $this->patient = false;
            \restore_error_handler();
        }
    }

    private function attempt(string $request): Response
    {
        try {
            $this->send($request);
        } catch (ConnectionLost $lost) {
            return $this->refusal() ?? throw $lost;
        }
        return $this->receive();
    }

    /** Why the peer would not take the rest of a request (413, say), if it said so before it closed the connection. */
    private function refusal(): ?Response
    {
        if ($this->socket === null || $this->isOpen()) {
            return null;
        }
        try {
            $response = $this->receive();
        } catch (ConnectionLost) {
            return null;
        }
        $this->close();
        return $response->status >= 400 ? $response : null;
    }

    /**
     * Begin a chunked request. Nothing of it is repeated when the connection breaks.
     *
     * @throws ConnectionLost
     */
    public function begin(string $head): void
    {
        // A fresh connection: a keep-alive that the peer has closed would swallow the first chunks.
        $this->close();
        $this->guarded(fn () => $this->send($head));
        $this->streaming = true;
    }

    /**
     * Send one chunk.
     *
     * @throws ConnectionLost
     */
    public function chunk(string $data): void
    {
        if (!$this->streaming) {
            throw new ConnectionLost("the connection to {$this->address} broke in the middle of an answer");
        }
        if ($data !== '') {
            $this->guarded(fn () => $this->send(\dechex(\strlen($data)) . "\r\n" . $data . "\r\n"));
        }
    }

    /**
     * End a chunked request, with trailers if any, and return the response.
     *
     * @throws ConnectionLost
     */
    public function finish(string $trailers = ''): Response
    {
        $this->chunk(''); // the same check
        $this->streaming = false;
        return $this->guarded(function () use ($trailers): Response {
            $this->send("0\r\n" . $trailers . "\r\n");
            return $this->receive();
        });
    }

    public function isStreaming(): bool
    {
        return $this->streaming;
    }

    public function close(): void
    {
        if (\is_resource($this->socket)) {
            \fclose($this->socket);
        }
        $this->socket = null;
        $this->buffer = '';
        $this->streaming = false;
    }

    /** @return list<object> what is used for every event */
    public function own(): array
    {
        return [$this, $this->deaf];
    }

    private function guarded(\Closure $work): mixed
    {
        \set_error_handler($this->deaf);
        try {
            return $work();
        } catch (ConnectionLost $lost) {
            $this->close();
            throw $lost;
        } finally {
            \restore_error_handler();
        }
    }

    private function send(string $data): void
    {
        $socket = $this->socket ??= $this->open();
        $total = \strlen($data);
        for ($sent = \fwrite($socket, $data), $done = (int) $sent; $done < $total; $done += $sent) {
            if ($sent === false || $sent === 0) {
                throw new ConnectionLost("{$this->address} closed the connection while a request was sent");
            }
            $sent = \fwrite($socket, \substr($data, $done, self::READ));
        }
    }

    /** @return resource */
    private function open()
    {
        $context = \stream_context_create(['socket' => ['tcp_nodelay' => true]]);
        $flags = \STREAM_CLIENT_CONNECT;
        $url = "tcp://{$this->address}";
        $socket = \stream_socket_client($url, $code, $reason, self::CONNECT_TIMEOUT, $flags, $context);
        if ($socket === false) {
            throw new ConnectionLost("cannot connect to {$this->address}: {$reason}");
        }
        return $socket;
    }

    private function receive(): Response
    {
        do {
            $response = $this->head();
        } while ($response->status < 200); // 100 Continue and its like announce the real one
        $coding = $response->header('transfer-encoding');
        $length = $response->header('content-length');
        if ($response->status === 204 || $response->status === 304) {
            $response->body = '';
        } elseif ($coding !== null) {
            $response->body = $this->chunkedBody($coding);
        } elseif ($length === (string) \strlen($this->buffer)) { // all of it is there, as nearly always
            [$response->body, $this->buffer] = [$this->buffer, ''];
        } elseif ($length !== null) {
            $response->body = $this->take($this->length($length));
        } elseif ($response->isSound()) {
            $response->body = $this->rest();
            $this->close();
        } else {
            throw new ConnectionLost("{$this->address} sent a header without a colon");
        }
        $connection = $response->header('connection');
        if ($connection !== null && \stripos($connection, 'close') !== false) {
            $this->close();
        }
        return $response;
    }

    private function head(): Response
    {
        for ($from = 0; ($end = \strpos($this->buffer, "\r\n\r\n", $from)) === false;) {
            $length = \strlen($this->buffer);
            if ($length > self::HEAD_LIMIT) {
                throw new ConnectionLost("{$this->address} sent a head that does not end");
            }
            $from = \max(0, $length - 3);
            $this->fill();
        }
        $head = \substr($this->buffer, 0, $end + 2);
        $this->buffer = \substr($this->buffer, $end + 4);
        return new Response(self::USUAL[\substr($head, 0, 13)] ?? $this->status($head), $head);
    }

    private function status(string $head): int
    {
        if (\preg_match('~^HTTP/1\.. ([1-5]\d\d)[ \r]~', $head, $found) !== 1) {
            throw new ConnectionLost("{$this->address} sent no HTTP status line");
        }
        return (int) $found[1];
    }

    private function length(string $text): int
    {
        if ($text === '' || \strlen($text) > 15 || \strspn($text, '0123456789') !== \strlen($text)) {
            throw new ConnectionLost("{$this->address} sent the content length '{$text}'");
        }
        return (int) $text;
    }

    private function chunkedBody(string $coding): string
    {
        if (\strtolower($coding) !== 'chunked') {
            throw new ConnectionLost("{$this->address} sent the unknown transfer coding '{$coding}'");
        }
        $body = '';
        do {
            $size = \rtrim(\explode(';', $this->line(), 2)[0], " \t");
            if ($size === '' || \strlen($size) > 12 || \strspn($size, '0123456789abcdefABCDEF') !== \strlen($size)) {
                throw new ConnectionLost("{$this->address} sent the chunk size '{$size}'");
            }
            $length = (int) \hexdec($size);
            if ($length > 0) {
                $body .= $this->take($length);
                if ($this->take(2) !== "\r\n") {
                    throw new ConnectionLost("{$this->address} sent a chunk longer than its size");
                }
            }
        } while ($length > 0);
        while ($this->line() !== '') { // trailers: the Runtime API sends none that matter
        }
        return $body;
    }

    private function line(): string
    {
        while (($end = \strpos($this->buffer, "\r\n")) === false) {
            if (\strlen($this->buffer) > self::HEAD_LIMIT) {
                throw new ConnectionLost("{$this->address} sent a line that does not end");
            }
            $this->fill();
        }
        $line = \substr($this->buffer, 0, $end);
        $this->buffer = \substr($this->buffer, $end + 2);
        return $line;
    }

    private function take(int $length): string
    {
        while (\strlen($this->buffer) < $length) {
            $this->fill();
        }
        if (\strlen($this->buffer) === $length) {
            $taken = $this->buffer;
            $this->buffer = '';
            return $taken;
        }
        $taken = \substr($this->buffer, 0, $length);
        $this->buffer = \substr($this->buffer, $length);
        return $taken;
    }

    /** Everything up to the end of the connection: how HTTP/1.0 ends a body. */
    private function rest(): string
    {
        try {
            for (;;) {
                $this->fill();
            }
        } catch (ConnectionLost) {
            return $this->take(\strlen($this->buffer));
        }
    }

    private function fill(): void
    {
        do {
            if ($this->stopping && $this->patient && $this->buffer === '') {
                throw new ConnectionLost('PHP was told to end');
            }
            // Unlike fread(), this is one system call and no wait before it.
            $data = $this->socket === null ? false : \stream_socket_recvfrom($this->socket, self::READ);
        } while (($data === false || $data === '') && $this->isOpen());
        if ($data === false || $data === '') {
            throw new ConnectionLost("{$this->address} closed the connection while an answer was awaited");
        }
        $this->buffer .= $data;
    }

    /** Tell whether there is nothing to receive, not even the connection's end: as after a signal. */
    private function isOpen(): bool
    {
        [$ended, $none, $neither] = [[$this->socket], null, null];
        return $this->socket !== null && \stream_select($ended, $none, $neither, 0, 0) === 0;
    }
}
