/* tools/language.h: the pipeline language: text into builder calls.
 *
 *      pipeline = stage { "|" stage }
 *      stage    = "tee(" pipeline { ", " pipeline } ")"   every branch gets every byte; the last stage of its pipeline
 *                                                    ("tee-strict(": one that fails ends the others)
 *                                                    In a merge( or par( none may stand: nothing comes out of it
 *               | "merge(" pipeline { ", " pipeline } ")"  the first stage of its pipeline: all that the branches give, as
 *                                                    it comes, line by line ("merge-raw(": in whatever pieces;
 *                                                    "merge-turns(": a batch of each in turn; "concat(": one after the
 *                                                    other). A command that begins a branch has no input
 *               | "par(" N { "," option } ", " pipeline ")"  N copies of the pipeline, each on another part of the input
 *               | "-"                                standard input as the first stage, output as the last
 *               | name ":" argument { "," option }   a stage of sluice: name is [a-z][a-z0-9-]*, unquoted
 *               | word { word }                      a command and its arguments; no shell is involved
 *      option   = name [ "=" value ]
 *
 * Words are quoted as in POSIX sh ('...', "...", \c), without expansion or substitution. A quoted "|", ":" or "," is a
 * plain character: a command whose name holds a colon, or a path that holds a comma, is quoted. What a shell would do
 * with an unquoted ; & < > ( ) is an error, never a guess.
 *
 * An end that is left open by a command is standard input or output. */
#ifndef SLUICE_TOOLS_LANGUAGE_H
#define SLUICE_TOOLS_LANGUAGE_H

#include <stddef.h>

#include <sluice/stages.h>

enum { LANGUAGE_STAGES_MAX = 256 };

struct language_error {
        size_t column, width; /* what to mark, from 0 */
        char message[240];
};

struct language_result {
        int stages_nr;
        size_t column[LANGUAGE_STAGES_MAX], width[LANGUAGE_STAGES_MAX]; /* of each stage in the text */
        int uses_stdin, uses_stdout;
};

/* A memory limit for the stage that is named by its number from 1, or by its command's name. */
struct language_limit {
        const char *stage;
        uint64_t memory_bytes;
};

/* How commands are started. */
struct language_commands {
        const struct sluice_command_options *options;
        const struct language_limit *limits;
        size_t limits_nr;
};

/* Adds the stages and links to `p`. `commands`: NULL, nothing special. An empty text copies standard input to standard
 * output. 0, -EINVAL with *ret_error, -ENOENT with its message (a limit that is for no command), or -ENOMEM. */
int language_build(struct sluice_pipeline *p, const char *text, const struct language_commands *commands,
                   struct language_result *ret, struct language_error *ret_error);
/* The same, and sluice_pipeline_build(); what is wrong is printed and marked. 0 or EXIT_USAGE. */
int language_build_whole(struct sluice_pipeline *p, const char *text, struct language_result *ret);
/* Prints "sluice: MESSAGE", the text, and the marks under it. */
void language_print_error(const char *text, const struct language_error *e);

#endif
