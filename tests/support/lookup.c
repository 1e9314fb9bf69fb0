/* SPDX-License-Identifier: GPL-3.0-or-later
 * lookup NAME: what getaddrinfo(3) of this C library says, each address on a line, or its error.
 * It asks for both families, as most programs do. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = argc == 2 ? getaddrinfo(argv[1], NULL, &hints, &found) : EAI_NONAME;

    if (error) {
        printf("%s\n", error == EAI_AGAIN ? "again" : error == EAI_NONAME ? "none" : gai_strerror(error));
        return 1;
    }
    for (; found; found = found->ai_next) {
        char text[INET6_ADDRSTRLEN];
        void *address = found->ai_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr
                                                     : (void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr;
        printf("%s\n", inet_ntop(found->ai_family, address, text, sizeof text));
    }
    return 0;
}
