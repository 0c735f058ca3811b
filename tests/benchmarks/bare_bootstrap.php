<?php

// PHP and a raw socket, and nothing that can go wrong: the least that a bootstrap in PHP takes. For comparison only.

declare(strict_types=1);

require getenv('LAMBDA_TASK_ROOT') . '/src/index.php';

$address = getenv('AWS_LAMBDA_RUNTIME_API');
$handler = getenv('_HANDLER');
$context = stream_context_create(['socket' => ['tcp_nodelay' => true]]);
$socket = stream_socket_client("tcp://{$address}", $code, $reason, 5.0, STREAM_CLIENT_CONNECT, $context);
$next = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {$address}\r\n\r\n";

while (true) {
    fwrite($socket, $next);
    $event = stream_socket_recvfrom($socket, 65536);
    $at = strpos($event, 'Request-Id: ') + 12;
    $id = substr($event, $at, strpos($event, "\r\n", $at) - $at);
    $data = json_decode(substr($event, strpos($event, "\r\n\r\n") + 4), true, 512, JSON_THROW_ON_ERROR);
    $answer = json_encode($handler($data), JSON_THROW_ON_ERROR);
    fwrite($socket, "POST /2018-06-01/runtime/invocation/{$id}/response HTTP/1.1\r\nHost: {$address}\r\n"
        . 'Content-Length: ' . strlen($answer) . "\r\n\r\n{$answer}");
    stream_socket_recvfrom($socket, 65536);
}
