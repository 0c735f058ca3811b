<?php

// A PHP of its own for each event, which asks for it, answers it and ends. For comparison only.

declare(strict_types=1);

if (($argv[1] ?? '') !== 'one') {
    while (true) {
        proc_close(proc_open([PHP_BINARY, ...array_slice($argv, 1), __FILE__, 'one'], [], $pipes));
    }
}

require getenv('LAMBDA_TASK_ROOT') . '/src/index.php';

$address = getenv('AWS_LAMBDA_RUNTIME_API');
$socket = stream_socket_client("tcp://{$address}");
$ask = static function (string $request) use ($socket): array {
    fwrite($socket, $request);
    for ($head = ''; ($line = fgets($socket)) !== "\r\n";) {
        $head .= $line;
    }
    preg_match('~^Content-Length: (\d+)~mi', $head, $length);
    return [$head, stream_get_contents($socket, (int) $length[1])];
};
[$head, $event] = $ask("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {$address}\r\n\r\n");
preg_match('~^Lambda-Runtime-Aws-Request-Id: (\S+)~mi', $head, $id);
$answer = json_encode((getenv('_HANDLER'))(json_decode($event, true)));
$ask("POST /2018-06-01/runtime/invocation/{$id[1]}/response HTTP/1.1\r\nHost: {$address}\r\n"
    . 'Content-Length: ' . strlen($answer) . "\r\n\r\n{$answer}");
