/* The files of a directory, with everything that is sent of them, and as much of HTTP as it takes to ask for them. */
#ifndef SITE_H
#define SITE_H

#include <dirent.h>
#include <strings.h>
#include <sys/stat.h>

#include "common.h"

enum { MOST_PAGES = 1024, LONGEST = 4096 };

/* Octets of the site. */
struct part {
    size_t start, length;
};

/* The answers in HTTP/1.0 and HTTP/1.1, on a connection that is closed and on one that stays. */
struct page {
    char path[256];
    struct part heads[2][2];
    struct part body;
};

struct site {
    char *octets;
    size_t length, room;
    struct page pages[MOST_PAGES];
    size_t count;
    struct page missing, refused;
};

static struct site site;

static inline struct part append(const void *octets, size_t length) {
    struct part part = {site.length, length};
    if (site.length + length > site.room) {
        site.room = 2 * (site.length + length);
        site.octets = realloc(site.octets, site.room);
        must(site.octets ? 0 : -ENOMEM, "memory");
    }
    memcpy(site.octets + site.length, octets, length);
    site.length += length;
    return part;
}

static inline void make_page(struct page *page, const char *path, const char *status, const void *body, size_t length) {
    snprintf(page->path, sizeof page->path, "%s", path);
    for (int minor = 0; minor < 2; minor++)
        for (int stays = 0; stays < 2; stays++) {
            char head[256];
            int octets = snprintf(head, sizeof head, "HTTP/1.%d %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n",
                                  minor, status, length, stays ? "keep-alive" : "close");
            page->heads[minor][stays] = append(head, (size_t)octets);
        }
    page->body = append(body, length);
}

static inline int by_path(const void *one, const void *other) {
    return strcmp(((const struct page *)one)->path, ((const struct page *)other)->path);
}

/* Reads the files of one directory, without those below it. */
static inline void load(const char *root) {
    DIR *directory = opendir(root);
    struct dirent *entry;
    must(directory ? 0 : -errno, root);
    while ((entry = readdir(directory)) && site.count < MOST_PAGES) {
        char name[4096], path[256];
        struct stat status;
        snprintf(name, sizeof name, "%s/%s", root, entry->d_name);
        snprintf(path, sizeof path, "/%.250s", entry->d_name);
        FILE *file = fopen(name, "rb");
        if (!file || fstat(fileno(file), &status) || !S_ISREG(status.st_mode)) {
            if (file)
                fclose(file);
            continue;
        }
        char *body = malloc((size_t)status.st_size + 1);
        size_t length = fread(body, 1, (size_t)status.st_size, file);
        make_page(&site.pages[site.count++], path, "200 OK", body, length);
        free(body);
        fclose(file);
    }
    closedir(directory);
    qsort(site.pages, site.count, sizeof site.pages[0], by_path);
    make_page(&site.missing, "", "404 Not Found", "There is no such file.\n", 23);
    make_page(&site.refused, "", "400 Bad Request", "", 0);
}

/* What a request comes to. */
struct answer {
    struct part parts[2];
    int stays;
};

static inline int has_token(const char *line, const char *end, const char *name, const char *value) {
    size_t length = strlen(name);
    return (size_t)(end - line) == length + strlen(value) && !strncasecmp(line, name, length)
        && !strncasecmp(line + length, value, strlen(value));
}

/* Answers the first request of `octets`. Returns its length, or 0 if more of it has to come. */
static inline size_t answer(const char *octets, size_t length, struct answer *answer) {
    const char *head = octets, *line_end, *end = NULL;
    const struct page *page = &site.refused;
    int minor = 1, stays = 0, first = 1;
    struct page wanted;
    for (const char *line = octets; (line_end = memchr(line, '\n', (size_t)(octets + length - line))); line = line_end + 1) {
        const char *last = line_end > line && line_end[-1] == '\r' ? line_end - 1 : line_end;
        if (first) {
            const char *version = last - 9;
            first = 0;
            if (last - line < 14 || memcmp(line, "GET ", 4) || memcmp(version, " HTTP/1.", 8)
                || (size_t)(version - line) - 4 >= sizeof wanted.path) {
                end = octets + length;
                break;
            }
            minor = stays = last[-1] == '1';
            memcpy(wanted.path, line + 4, (size_t)(version - line) - 4);
            wanted.path[version - line - 4] = 0;
            page = NULL;
        } else if (last == line) {
            end = line_end + 1;
            break;
        } else if ((*line | 32) == 'c') {
            if (has_token(line, last, "connection: ", "close"))
                stays = 0;
            else if (has_token(line, last, "connection: ", "keep-alive"))
                stays = 1;
        }
    }
    if (!end && length < LONGEST)
        return 0;
    if (!end)
        page = &site.refused, stays = 0, end = octets + length;
    if (!page)
        page = bsearch(&wanted, site.pages, site.count, sizeof site.pages[0], by_path);
    if (!page)
        page = &site.missing;
    answer->parts[0] = page->heads[minor][stays];
    answer->parts[1] = page->body;
    answer->stays = stays;
    return (size_t)(end - head);
}

#endif
