<?php

// A new curl handle for each call: the usual bootstrap without Guzzle. For comparison only.

declare(strict_types=1);

require getenv('LAMBDA_TASK_ROOT') . '/src/index.php';

$base = 'http://' . getenv('AWS_LAMBDA_RUNTIME_API') . '/2018-06-01/runtime/invocation/';

while (true) {
    $id = '';
    $handle = curl_init($base . 'next');
    curl_setopt_array($handle, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HEADERFUNCTION => static function ($handle, string $header) use (&$id): int {
            if (stripos($header, 'lambda-runtime-aws-request-id:') === 0) {
                $id = trim(substr($header, 30));
            }
            return strlen($header);
        },
    ]);
    $event = json_decode((string) curl_exec($handle), true);
    $handle = curl_init("{$base}{$id}/response");
    curl_setopt_array($handle, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_POSTFIELDS => json_encode((getenv('_HANDLER'))($event)),
    ]);
    curl_exec($handle);
}
