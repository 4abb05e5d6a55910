package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// row is one sample. Floats are their bits in hexadecimal, whole numbers decimal; buckets are absolute.
type row struct {
	T    int64          `json:"t"`
	ST   int64          `json:"st,omitempty"`
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
	Custom    []string   `json:"custom,omitempty"`
}

func hexOf(v float64) string { return fmt.Sprintf("%016x", math.Float64bits(v)) }

func floatOf(s string) float64 {
	return math.Float64frombits(must(strconv.ParseUint(s, 16, 64)))
}

// each keeps nothing nil: to Prometheus an empty list of custom values is one that must not be there.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}

func spansOut(spans []histogram.Span) [][2]int64 {
	return each(spans, func(s histogram.Span) [2]int64 { return [2]int64{int64(s.Offset), int64(s.Length)} })
}

func spansIn(spans [][2]int64) []histogram.Span {
	return each(spans, func(s [2]int64) histogram.Span { return histogram.Span{Offset: int32(s[0]), Length: uint32(s[1])} })
}

func absolute(deltas []int64) []string {
	var sum int64
	return each(deltas, func(d int64) string { sum += d; return strconv.FormatInt(sum, 10) })
}

func deltas(counts []string) []int64 {
	var last int64
	return each(counts, func(c string) int64 {
		n := must(strconv.ParseInt(c, 10, 64))
		d := n - last
		last = n
		return d
	})
}

func ofInteger(h *histogram.Histogram) *histogramJSON {
	return &histogramJSON{
		Hint: int(h.CounterResetHint), Schema: h.Schema, Threshold: hexOf(h.ZeroThreshold), Sum: hexOf(h.Sum),
		Count: strconv.FormatUint(h.Count, 10), Zero: strconv.FormatUint(h.ZeroCount, 10),
		PSpans: spansOut(h.PositiveSpans), NSpans: spansOut(h.NegativeSpans),
		Positive: absolute(h.PositiveBuckets), Negative: absolute(h.NegativeBuckets), Custom: each(h.CustomValues, hexOf),
	}
}

func ofFloat(h *histogram.FloatHistogram) *histogramJSON {
	return &histogramJSON{
		Float: true, Hint: int(h.CounterResetHint), Schema: h.Schema, Threshold: hexOf(h.ZeroThreshold), Sum: hexOf(h.Sum),
		Count: hexOf(h.Count), Zero: hexOf(h.ZeroCount),
		PSpans: spansOut(h.PositiveSpans), NSpans: spansOut(h.NegativeSpans),
		Positive: each(h.PositiveBuckets, hexOf), Negative: each(h.NegativeBuckets, hexOf), Custom: each(h.CustomValues, hexOf),
	}
}

func (h *histogramJSON) integer() *histogram.Histogram {
	return &histogram.Histogram{
		CounterResetHint: histogram.CounterResetHint(h.Hint), Schema: h.Schema, ZeroThreshold: floatOf(h.Threshold), Sum: floatOf(h.Sum),
		Count: must(strconv.ParseUint(h.Count, 10, 64)), ZeroCount: must(strconv.ParseUint(h.Zero, 10, 64)),
		PositiveSpans: spansIn(h.PSpans), NegativeSpans: spansIn(h.NSpans),
		PositiveBuckets: deltas(h.Positive), NegativeBuckets: deltas(h.Negative), CustomValues: each(h.Custom, floatOf),
	}
}

func (h *histogramJSON) float() *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		CounterResetHint: histogram.CounterResetHint(h.Hint), Schema: h.Schema, ZeroThreshold: floatOf(h.Threshold), Sum: floatOf(h.Sum),
		Count: floatOf(h.Count), ZeroCount: floatOf(h.Zero),
		PositiveSpans: spansIn(h.PSpans), NegativeSpans: spansIn(h.NSpans),
		PositiveBuckets: each(h.Positive, floatOf), NegativeBuckets: each(h.Negative, floatOf), CustomValues: each(h.Custom, floatOf),
	}
}

func rowsOf(it chunkenc.Iterator) ([]row, error) {
	rows := []row{}
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		r := row{T: it.AtT(), ST: it.AtST()}
		switch kind {
		case chunkenc.ValFloat:
			_, v := it.At()
			r.Bits = hexOf(v)
		case chunkenc.ValHistogram:
			_, h := it.AtHistogram(nil)
			r.Hist = ofInteger(h)
		case chunkenc.ValFloatHistogram:
			_, h := it.AtFloatHistogram(nil)
			r.Hist = ofFloat(h)
		}
		rows = append(rows, r)
	}
	return rows, it.Err()
}

// observed makes a valid histogram of these absolute counts; the buckets begin at the given indices.
func observed(schema int32, zero uint64, pStart int32, positive []int64, nStart int32, negative []int64) *histogram.Histogram {
	h := &histogram.Histogram{Schema: schema, ZeroThreshold: 0.001, ZeroCount: zero, Count: zero}
	if schema == histogram.CustomBucketsSchema {
		h.ZeroThreshold = 0
	}
	side := func(start int32, counts []int64) ([]histogram.Span, []int64) {
		if len(counts) == 0 {
			return nil, nil
		}
		var last int64
		var d []int64
		for i, c := range counts {
			h.Count += uint64(c)
			h.Sum += float64(c) * (float64(start) + float64(i)*0.5)
			d = append(d, c-last)
			last = c
		}
		return []histogram.Span{{Offset: start, Length: uint32(len(counts))}}, d
	}
	h.PositiveSpans, h.PositiveBuckets = side(pStart, positive)
	h.NegativeSpans, h.NegativeBuckets = side(nStart, negative)
	return h
}

// fractional is the float flavour, with counts that are not whole.
func fractional(h *histogram.Histogram) *histogram.FloatHistogram {
	f := h.ToFloat(nil)
	f.Count /= 8
	f.ZeroCount /= 8
	for _, side := range [][]float64{f.PositiveBuckets, f.NegativeBuckets} {
		for i := range side {
			side[i] /= 8
		}
	}
	return f
}

func isStale(h *histogram.Histogram) bool { return value.IsStaleNaN(h.Sum) }

func staleHistogram() *histogram.Histogram {
	return &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
}
