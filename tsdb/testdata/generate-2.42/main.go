// Writes the golden block of ../golden/old with Prometheus 2.42, and what it answers from that block to ../golden/old.jsonl.
// Run: go run . ../golden
//
// 2.42 is the first that writes all of the first three encodings. There are no gauges in it, which it would write as counters.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-kit/log"
	"github.com/oklog/ulid"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

const name = "01J0000000000000000000000E"

const start = int64(1600005600000)/7200000*7200000 + 7200000

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// row and what it holds are the same as in ../generate.
type row struct {
	T    int64          `json:"t"`
	Bits string         `json:"bits,omitempty"`
	Hist *histogramJSON `json:"hist,omitempty"`
}

type histogramJSON struct {
	Float     bool       `json:"float,omitempty"`
	Hint      int        `json:"hint,omitempty"`
	Schema    int32      `json:"schema"`
	Threshold string     `json:"threshold"`
	Sum       string     `json:"sum"`
	Count     string     `json:"count"`
	Zero      string     `json:"zero"`
	PSpans    [][2]int64 `json:"pspans,omitempty"`
	NSpans    [][2]int64 `json:"nspans,omitempty"`
	Positive  []string   `json:"positive,omitempty"`
	Negative  []string   `json:"negative,omitempty"`
}

type seriesRows struct {
	Labels [][2]string `json:"labels"`
	Rows   []row       `json:"rows"`
}

func hexOf(v float64) string { return fmt.Sprintf("%016x", math.Float64bits(v)) }

func spans(in []histogram.Span) (out [][2]int64) {
	for _, s := range in {
		out = append(out, [2]int64{int64(s.Offset), int64(s.Length)})
	}
	return out
}

func absolute(deltas []int64) (out []string) {
	var sum int64
	for _, d := range deltas {
		sum += d
		out = append(out, strconv.FormatInt(sum, 10))
	}
	return out
}

func floats(in []float64) (out []string) {
	for _, v := range in {
		out = append(out, hexOf(v))
	}
	return out
}

func rowsOf(it chunkenc.Iterator) (rows []row) {
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		var r row
		switch kind {
		case chunkenc.ValFloat:
			t, v := it.At()
			r = row{T: t, Bits: hexOf(v)}
		case chunkenc.ValHistogram:
			t, h := it.AtHistogram()
			r = row{T: t, Hist: &histogramJSON{
				Hint: int(h.CounterResetHint), Schema: h.Schema, Threshold: hexOf(h.ZeroThreshold), Sum: hexOf(h.Sum),
				Count: strconv.FormatUint(h.Count, 10), Zero: strconv.FormatUint(h.ZeroCount, 10),
				PSpans: spans(h.PositiveSpans), NSpans: spans(h.NegativeSpans),
				Positive: absolute(h.PositiveBuckets), Negative: absolute(h.NegativeBuckets),
			}}
		case chunkenc.ValFloatHistogram:
			t, h := it.AtFloatHistogram()
			r = row{T: t, Hist: &histogramJSON{
				Float: true, Hint: int(h.CounterResetHint), Schema: h.Schema, Threshold: hexOf(h.ZeroThreshold), Sum: hexOf(h.Sum),
				Count: hexOf(h.Count), Zero: hexOf(h.ZeroCount),
				PSpans: spans(h.PositiveSpans), NSpans: spans(h.NegativeSpans),
				Positive: floats(h.PositiveBuckets), Negative: floats(h.NegativeBuckets),
			}}
		}
		rows = append(rows, r)
	}
	check(it.Err())
	return rows
}

func observed(i int64) *histogram.Histogram {
	h := &histogram.Histogram{
		Schema: 2, ZeroThreshold: 0.001, ZeroCount: 3, Count: uint64(3 + 3*i + 7), Sum: float64(i) * 1.5,
		PositiveSpans:   []histogram.Span{{Offset: -2, Length: 2}, {Offset: 3, Length: 1}},
		PositiveBuckets: []int64{i, 0, 0},
		NegativeSpans:   []histogram.Span{{Offset: 1, Length: 1}},
		NegativeBuckets: []int64{7},
	}
	if i > 6 {
		// A new bucket between the others.
		h.PositiveSpans = []histogram.Span{{Offset: -2, Length: 2}, {Offset: 1, Length: 1}, {Offset: 1, Length: 1}}
		h.PositiveBuckets = []int64{i, 0, 2 - i, i - 2}
		h.Count += 2
	}
	return h
}

func write(dir string) {
	w := must(tsdb.NewBlockWriter(log.NewNopLogger(), dir, 7200000))
	ctx := context.Background()
	app := w.Appender(ctx)
	at := func(i int64) int64 { return start + 1 + i*15000 }
	for i := range int64(130) {
		v := float64(i * i)
		if i%50 == 49 {
			v = math.Float64frombits(value.StaleNaN)
		}
		must(app.Append(0, labels.FromStrings("__name__", "floats", "job", "a"), at(i), v))
		must(app.Append(0, labels.FromStrings("__name__", "floats", "job", "b"), at(i), 1))
	}
	for i := range int64(12) {
		h := observed(i % 9)
		if i == 5 {
			h = &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
		}
		must(app.AppendHistogram(0, labels.FromStrings("__name__", "integers"), at(i), h, nil))
		must(app.AppendHistogram(0, labels.FromStrings("__name__", "fractions"), at(i), nil, h.ToFloat()))
	}
	check(app.Commit())
	must(w.Flush(ctx))
	check(w.Close())
}

func main() {
	out := os.Args[1]
	dir := filepath.Join(out, "old")
	check(os.RemoveAll(dir))
	check(os.MkdirAll(dir, 0o777))
	write(dir)
	block := filepath.Dir(must(filepath.Glob(filepath.Join(dir, "*", "meta.json")))[0])
	path := filepath.Join(block, "meta.json")
	var meta tsdb.BlockMeta
	check(json.Unmarshal(must(os.ReadFile(path)), &meta))
	// A constant name, so that it does not change from run to run.
	meta.ULID = ulid.MustParse(name)
	meta.Compaction.Sources = []ulid.ULID{meta.ULID}
	check(os.WriteFile(path, must(json.MarshalIndent(meta, "", "\t")), 0o666))
	check(os.Rename(block, filepath.Join(dir, name)))

	opened := must(tsdb.OpenBlock(log.NewNopLogger(), filepath.Join(dir, name), nil))
	q := must(tsdb.NewBlockQuerier(opened, math.MinInt64, math.MaxInt64))
	f := must(os.Create(filepath.Join(out, "old.jsonl")))
	w := bufio.NewWriter(f)
	set := q.Select(true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	for set.Next() {
		var s seriesRows
		for _, l := range set.At().Labels() {
			s.Labels = append(s.Labels, [2]string{l.Name, l.Value})
		}
		s.Rows = rowsOf(set.At().Iterator(nil))
		check(json.NewEncoder(w).Encode(s))
	}
	check(set.Err())
	check(w.Flush())
	check(f.Close())
	check(q.Close())
	check(opened.Close())
}
