<?php

declare(strict_types=1);

namespace Phplayer;

/** The peer closed the connection, refused it, or sent what is not HTTP. */
final class ConnectionLost extends \RuntimeException
{
}

/**
 * One HTTP response. Its head is kept as it came and searched when a header is asked for: of the few that matter each
 * is wanted once, so that taking all apart would cost more.
 */
final class Response
{
    private readonly string $lower;
    private ?string $requestId = null;

    public function __construct(
        public readonly int $status,
        private readonly string $head, // with the end of its last line
        public string $body = '',
    ) {
        $this->lower = \strtolower($head); // of the same length: strtolower() knows ASCII only
    }

    /** Return a header's value, null without it. The name is in lower case; of several the first counts. */
    public function header(string $name): ?string
    {
        $at = \strpos($this->lower, "\r\n{$name}:");
        if ($at === false) {
            return null;
        }
        $at += \strlen($name) + 3;
        return \trim(\substr($this->head, $at, (int) \strpos($this->head, "\r\n", $at) - $at), " \t");
    }

    /** Return the ID of the event that this is, empty when it is none. */
    public function requestId(): string
    {
        return $this->requestId ??= $this->header('lambda-runtime-aws-request-id') ?? '';
    }

    /** Tell whether every line of the head is a header. */
    public function isSound(): bool
    {
        return \preg_match('~^[^\r\n]*(?:\r\n[^:\s][^:\r\n]*:[^\r\n]*)*\r\n$~D', $this->head) === 1;
    }
}
