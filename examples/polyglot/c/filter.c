// Marks requests of one user agent, and answers those that do not say who they are. Types and glue in bindings/ are made from wit/ by
// wit-bindgen; whatever is returned is freed by the glue once the proxy has it, so it is always a copy.

#include "bindings/request_plugin.h"
#include <stdlib.h>
#include <string.h>

static const char *const DESCRIPTION =
    "{\"name\":\"mark-c\",\"version\":\"0.1.0\",\"description\":\"Marks requests of one user agent\",\"settings\":{"
    "\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"agent\"],\"properties\":{"
    "\"agent\":{\"type\":\"string\",\"description\":\"What the user agent contains.\",\"pattern\":\"^[A-Za-z0-9./_-]{1,100}$\"}}}}";

// The setting. The schema leaves nothing in it that JSON would escape.
static char agent[101];

void exports_portcullis_plugin_lifecycle_describe(request_plugin_string_t *ret) { request_plugin_string_dup(ret, DESCRIPTION); }

// Takes the one string out of {"agent":"curl"}, which was checked against the schema.
static bool read_agent(const request_plugin_string_t *settings) {
    static const char KEY[] = "{\"agent\":\"";
    const size_t key = sizeof KEY - 1;
    if (settings->len < key + 2 || memcmp(settings->ptr, KEY, key) != 0) return false;
    const size_t length = settings->len - key - 2;
    if (length >= sizeof agent) return false;
    memcpy(agent, settings->ptr + key, length);
    agent[length] = '\0';
    return true;
}

bool exports_portcullis_plugin_lifecycle_configure(request_plugin_string_t *settings, exports_portcullis_plugin_lifecycle_plan_t *plan,
                                                   exports_portcullis_plugin_lifecycle_list_problem_t *problems) {
    const bool taken = read_agent(settings);
    request_plugin_string_free(settings);
    if (!taken) {
        problems->len = 1;
        problems->ptr = malloc(sizeof *problems->ptr);
        request_plugin_string_dup(&problems->ptr->path, "/agent");
        request_plugin_string_dup(&problems->ptr->message, "a word of at most 100 letters");
        return false;
    }
    memset(plan, 0, sizeof *plan);
    plan->request.is_some = true;
    plan->request.val.headers.len = 1;
    plan->request.val.headers.ptr = malloc(sizeof *plan->request.val.headers.ptr);
    request_plugin_string_dup(plan->request.val.headers.ptr, "user-agent");
    return true;
}

static bool contains(const request_plugin_list_u8_t *value, const char *word) {
    const size_t length = strlen(word);
    for (size_t at = 0; at + length <= value->len; at++)
        if (memcmp(value->ptr + at, word, length) == 0) return true;
    return false;
}

static void bytes(request_plugin_list_u8_t *ret, const char *text) {
    ret->len = strlen(text);
    ret->ptr = malloc(ret->len);
    memcpy(ret->ptr, text, ret->len);
}

void exports_portcullis_plugin_on_request_on_request(uint64_t exchange, exports_portcullis_plugin_on_request_request_head_t *head,
                                                     exports_portcullis_plugin_on_request_decision_t *ret) {
    (void)exchange;
    memset(ret, 0, sizeof *ret);
    ret->verdict.tag = PORTCULLIS_PLUGIN_TYPES_VERDICT_NEXT;
    if (head->headers.len == 0) {
        ret->verdict.tag = PORTCULLIS_PLUGIN_TYPES_VERDICT_REPLY;
        ret->verdict.val.reply.status = 400;
        bytes(&ret->verdict.val.reply.body, "who are you?\n");
    } else if (contains(&head->headers.ptr[0].value, agent)) {
        ret->edits.len = 1;
        ret->edits.ptr = malloc(sizeof *ret->edits.ptr);
        ret->edits.ptr->tag = PORTCULLIS_PLUGIN_TYPES_EDIT_SET_HEADER;
        request_plugin_string_dup(&ret->edits.ptr->val.set_header.name, "x-agent");
        bytes(&ret->edits.ptr->val.set_header.value, "yes");
    }
    exports_portcullis_plugin_on_request_request_head_free(head);
}
