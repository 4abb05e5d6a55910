package main

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"regexp/syntax"
	"slices"
	"unicode"
)

// classes writes the version of Unicode, a line per class that Go knows by this very name, with and without folding,
// and a line for the folding of every code point. A line is a pattern, the number of ranges, the number of code
// points, and a digest of the ranges (FNV-1a, 64 bits, over "first-last," in hexadecimal).
func classes(out *bufio.Writer) {
	fmt.Fprintf(out, "unicode\t%s\n", unicode.Version)
	names := []string{"Any"}
	for name := range unicode.Categories {
		names = append(names, name)
	}
	for name := range unicode.Scripts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, flags := range []string{"", "(?i)"} {
			pattern := flags + `\p{` + name + `}`
			parsed, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
			if err != nil {
				continue
			}
			write(out, pattern, ranges(parsed))
		}
	}
	var orbits []rune
	for c := rune(0); c <= unicode.MaxRune; c++ {
		for other := unicode.SimpleFold(c); other != c; other = unicode.SimpleFold(other) {
			orbits = append(orbits, c, other)
		}
	}
	// Pairs of a character and one that it folds to, in order.
	write(out, "folds", sortedPairs(orbits))
}

func sortedPairs(pairs []rune) []rune {
	type pair struct{ from, to rune }
	var sorted []pair
	for i := 0; i < len(pairs); i += 2 {
		sorted = append(sorted, pair{pairs[i], pairs[i+1]})
	}
	slices.SortFunc(sorted, func(a, b pair) int {
		if a.from != b.from {
			return int(a.from - b.from)
		}
		return int(a.to - b.to)
	})
	pairs = pairs[:0]
	for _, p := range sorted {
		pairs = append(pairs, p.from, p.to)
	}
	return pairs
}

// ranges lists the first and last code point of every range of a pattern that is one class, without surrogates.
func ranges(re *syntax.Regexp) []rune {
	switch re.Op {
	case syntax.OpAnyChar:
		return []rune{0, 0xD7FF, 0xE000, unicode.MaxRune}
	case syntax.OpLiteral:
		if len(re.Rune) != 1 || re.Flags&syntax.FoldCase != 0 {
			fail("%v is no class", re)
		}
		return []rune{re.Rune[0], re.Rune[0]}
	case syntax.OpCharClass:
		var kept []rune
		for i := 0; i < len(re.Rune); i += 2 {
			lo, hi := re.Rune[i], re.Rune[i+1]
			if lo < 0xD800 {
				kept = append(kept, lo, min(hi, 0xD7FF))
			}
			if hi > 0xDFFF {
				kept = append(kept, max(lo, 0xE000), hi)
			}
		}
		return kept
	}
	fail("%v is no class", re)
	return nil
}

func write(out *bufio.Writer, pattern string, ranges []rune) {
	digest := fnv.New64a()
	points := 0
	for i := 0; i < len(ranges); i += 2 {
		fmt.Fprintf(digest, "%x-%x,", ranges[i], ranges[i+1])
		points += int(ranges[i+1] - ranges[i] + 1)
	}
	if pattern == "folds" {
		points = len(ranges) / 2
	}
	fmt.Fprintf(out, "%s\t%d\t%d\t%016x\n", pattern, len(ranges)/2, points, digest.Sum64())
}
