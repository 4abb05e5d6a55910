// Program generate asks Go's regexp what it makes of patterns, to prove the translator of label matchers.
//
// Usage, from this directory:
//
//	go run . patterns > ../patterns.tsv   the table of patterns in patterns.go, with Go's answers
//	go run . classes  > ../classes.tsv    digests of Go's Unicode classes and case folding
//	go run . answer                       patterns and texts on stdin, Go's answers on stdout
//
// Fields are separated by tabs. In them \t, \n, \r, \0 and \\ stand for those characters.
package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"regexp/syntax"
	"strings"
)

var (
	quote   = strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r", "\x00", "\\0")
	unquote = strings.NewReplacer("\\\\", "\\", "\\t", "\t", "\\n", "\n", "\\r", "\r", "\\0", "\x00")
)

// matcher is a pattern compiled as Prometheus does it: parsed alone, so that it cannot close the group around it,
// then written out again and anchored.
type matcher struct {
	re *regexp.Regexp
	// direct is the pattern anchored as it was written. It is nil if an open \Q swallows the closing parenthesis.
	direct *regexp.Regexp
}

func compile(pattern string) (*matcher, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile("^(?s:" + parsed.String() + ")$")
	if err != nil {
		return nil, err
	}
	direct, err := regexp.Compile("^(?s:" + pattern + ")$")
	if err != nil && !strings.Contains(pattern, `\Q`) {
		return nil, fmt.Errorf("the two forms of %q differ: %w", pattern, err)
	}
	return &matcher{re, direct}, nil
}

func (m *matcher) match(text string) bool {
	matched := m.re.MatchString(text)
	if m.direct != nil && m.direct.MatchString(text) != matched {
		fail("the two forms of %q differ on %q", m.re, text)
	}
	return matched
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// patterns writes a line per row: the pattern, then either "refused" and Go's reason, or "ok" and the texts, each
// with + before it if it matches and - if it does not.
func patterns(out *bufio.Writer) {
	for _, row := range rows() {
		m, err := compile(row.pattern)
		if err != nil {
			reason, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "error parsing regexp: "), ": `")
			fmt.Fprintf(out, "%s\trefused\t%s\n", quote.Replace(row.pattern), reason)
			continue
		}
		fmt.Fprintf(out, "%s\tok", quote.Replace(row.pattern))
		for _, text := range row.texts {
			sign := "-"
			if m.match(text) {
				sign = "+"
			}
			fmt.Fprintf(out, "\t%s%s", sign, quote.Replace(text))
		}
		fmt.Fprintln(out)
	}
}

// answer reads lines of a pattern and texts and answers each with "refused", or with "ok", a tab, and a + or - for
// every text.
func answer(out *bufio.Writer) {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		fields := strings.Split(in.Text(), "\t")
		m, err := compile(unquote.Replace(fields[0]))
		if err != nil {
			fmt.Fprintln(out, "refused")
			continue
		}
		fmt.Fprint(out, "ok\t")
		for _, text := range fields[1:] {
			if m.match(unquote.Replace(text)) {
				fmt.Fprint(out, "+")
			} else {
				fmt.Fprint(out, "-")
			}
		}
		fmt.Fprintln(out)
	}
	if err := in.Err(); err != nil {
		fail("cannot read: %v", err)
	}
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	mode := ""
	if len(os.Args) == 2 {
		mode = os.Args[1]
	}
	switch mode {
	case "patterns":
		patterns(out)
	case "classes":
		classes(out)
	case "answer":
		answer(out)
	default:
		fail("usage: generate patterns | classes | answer")
	}
	if err := out.Flush(); err != nil {
		fail("cannot write: %v", err)
	}
}
