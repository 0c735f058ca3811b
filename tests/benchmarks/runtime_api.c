/* The two ends that a bootstrap is measured against.
 *
 *   runtime_api serve WARM COUNT   a Runtime API at its barest: prints its port, hands out WARM + COUNT events, then
 *                                  prints the microseconds that each of the COUNT took and ends
 *   runtime_api floor              a client that does nothing with an event: what any bootstrap takes at least
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 16];
static size_t held;

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        size -= sent;
    }
}

/* Receive one whole message; 0 when the peer hung up. */
static int message(int fd)
{
    for (;;) {
        buffer[held] = 0;
        char *end = strstr(buffer, "\r\n\r\n");
        if (end != NULL) {
            char *length = strcasestr(buffer, "\r\ncontent-length:");
            size_t size = end + 4 - buffer + (length != NULL && length < end ? (size_t)atol(length + 17) : 0);
            if (held >= size) {
                memmove(buffer, buffer + size, held - size);
                held -= size;
                return 1;
            }
        }
        ssize_t got = recv(fd, buffer + held, sizeof buffer - held - 1, 0);
        if (got <= 0) {
            held = 0;
            return 0;
        }
        held += got;
    }
}

static int serve(int warm, int count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), fd = -1;
    bind(listener, (struct sockaddr *)&address, sizeof address);
    listen(listener, 64);
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    double began = 0;
    for (int request = 0; request <= 2 * (warm + count);) {
        if (fd < 0) {
            fd = accept(listener, NULL, NULL);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        }
        if (!message(fd)) {
            close(fd);
            fd = -1;
            continue;
        }
        char text[1024];
        const char *body = "{\"name\":\"world\"}", *accepted = "{\"status\":\"OK\"}";
        if (request == 2 * warm)
            began = now(CLOCK_MONOTONIC);
        int size = request % 2 == 0
            ? snprintf(text, sizeof text,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-%012d\r\n"
                "Lambda-Runtime-Deadline-Ms: %.0f\r\n"
                "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-2:123456789012:function:probe\r\n"
                "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-%024d;Parent=9a9197af755a6419;Sampled=1\r\n"
                "Content-Length: %zu\r\n\r\n%s",
                request, now(CLOCK_REALTIME) / 1e3 + 30000, request, strlen(body), body)
            : snprintf(text, sizeof text,
                "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                strlen(accepted), accepted);
        if (request == 2 * (warm + count))
            printf("%.2f\n", (now(CLOCK_MONOTONIC) - began) / count);
        else
            send_all(fd, text, size);
        request++;
    }
    return 0;
}

static int nothing(void)
{
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons(atoi(strchr(api, ':') + 1));
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return 1;
    const char *next = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
    const char *answer = "POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\nHost: x\r\n"
                         "Content-Length: 14\r\n\r\n\"Hello, world\"";
    do {
        send_all(fd, next, strlen(next));
        if (!message(fd))
            break;
        send_all(fd, answer, strlen(answer));
    } while (message(fd));
    return 0;
}

int main(int count, char **arguments)
{
    return count == 4 ? serve(atoi(arguments[2]), atoi(arguments[3])) : nothing();
}
