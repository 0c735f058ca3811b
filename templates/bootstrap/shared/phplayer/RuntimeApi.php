<?php

declare(strict_types=1);

namespace Phplayer;

/** The Runtime API answered what leaves nothing to do but to end. */
final class RuntimeApiRefused extends \RuntimeException
{
}

/** The API would not take a response of that size. */
final class ResponseTooLarge extends \RuntimeException
{
}

/**
 * The Lambda Runtime API: takes events, gives answers.
 *
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 */
final class RuntimeApi
{
    private const BASE = '/2018-06-01/runtime/';
    private const AGENT = 'phplayer';
    private const LIMIT = 6 << 20; // bytes; what is larger may have been refused when a connection breaks

    private readonly Connection $connection;
    private readonly string $common;
    private readonly string $next;

    public function __construct(string $address)
    {
        $this->connection = new Connection($address);
        $this->common = " HTTP/1.1\r\nHost: {$address}\r\nUser-Agent: " . self::AGENT . "\r\n";
        $this->next = 'GET ' . self::BASE . 'invocation/next' . $this->common . "\r\n";
    }

    /**
     * Wait for an event.
     *
     * @throws ConnectionLost
     * @throws RuntimeApiRefused
     */
    public function next(): Response
    {
        $response = $this->connection->exchange($this->next, true);
        if ($response->status !== 200 || $response->requestId() === '') {
            throw new RuntimeApiRefused("it answered {$response->status} when asked for an event: {$response->body}");
        }
        return $response;
    }

    /**
     * Answer an event.
     *
     * @throws ConnectionLost
     * @throws ResponseTooLarge
     * @throws RuntimeApiRefused
     */
    public function respond(string $requestId, string $json): void
    {
        try {
            $response = $this->post("invocation/{$requestId}/response", '', $json);
        } catch (ConnectionLost $lost) {
            $size = \strlen($json);
            throw $size > self::LIMIT ? new ResponseTooLarge("{$size} bytes ({$lost->getMessage()})") : $lost;
        }
        if ($response->status !== 202) {
            $this->check($response);
        }
    }

    /**
     * Report that the handler failed on an event.
     *
     * @throws ConnectionLost
     * @throws RuntimeApiRefused
     */
    public function fail(string $requestId, string $type, string $report): void
    {
        if ($this->connection->isStreaming()) { // the status is sent: only trailers can tell it now
            try {
                $this->check($this->connection->finish(
                    "Lambda-Runtime-Function-Error-Type: {$type}\r\n"
                    . 'Lambda-Runtime-Function-Error-Body: ' . \base64_encode($report) . "\r\n"
                ));
                return;
            } catch (ConnectionLost) { // Nobody may have heard it: told once more, over a connection of its own.
            }
        }
        $header = "Lambda-Runtime-Function-Error-Type: {$type}\r\n";
        $this->check($this->post("invocation/{$requestId}/error", $header, $report));
    }

    /**
     * Report that the start-up failed.
     *
     * @throws ConnectionLost
     */
    public function failInit(string $type, string $report): void
    {
        $this->post('init/error', "Lambda-Runtime-Function-Error-Type: {$type}\r\n", $report);
    }

    /**
     * Begin to answer an event piece by piece; ``chunk`` and ``finish`` go on.
     *
     * @throws ConnectionLost
     */
    public function beginStream(string $requestId, string $type): void
    {
        $this->connection->begin(
            'POST ' . self::BASE . "invocation/{$requestId}/response" . $this->common
            . "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
            . "Transfer-Encoding: chunked\r\n"
            . "Content-Type: {$type}\r\n"
            . "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
        );
    }

    /** @throws ConnectionLost */
    public function chunk(string $data): void
    {
        $this->connection->chunk($data);
    }

    /**
     * @throws ConnectionLost
     * @throws RuntimeApiRefused
     */
    public function finishStream(): void
    {
        $this->check($this->connection->finish());
    }

    /** From now on the wait for an event is given up when a signal interrupts it. */
    public function stop(): void
    {
        $this->connection->stopping = true;
    }

    /** @return list<object> what is used for every event */
    public function own(): array
    {
        return [$this, ...$this->connection->own()];
    }

    private function post(string $path, string $headers, string $body): Response
    {
        return $this->connection->exchange(
            'POST ' . self::BASE . $path . $this->common . $headers
            . "Content-Type: application/json\r\nContent-Length: " . \strlen($body) . "\r\n\r\n" . $body
        );
    }

    private function check(Response $response): void
    {
        if ($response->status < 300) {
            return;
        }
        if ($response->status === 413) {
            throw new ResponseTooLarge($response->body);
        }
        if ($response->status >= 500) { // "Non-recoverable state. Runtime should exit promptly."
            throw new RuntimeApiRefused("it answered {$response->status}: {$response->body}");
        }
        // Other 4xx: the event is no longer ours to answer (timed out, or a repeated answer that had arrived).
        Log::write('WARN', "The Runtime API answered {$response->status}: {$response->body}");
    }
}
