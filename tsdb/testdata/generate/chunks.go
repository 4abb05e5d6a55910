package main

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// scenario is a series of histograms that changes in one interesting way.
type scenario struct {
	name string
	hs   []*histogram.Histogram
	sts  []int64 // As many, or none.
	step int64
}

func (s scenario) time(i int) int64 {
	step := s.step
	if step == 0 {
		step = 15000
	}
	return 1600000000000 + int64(i)*step
}

func (s scenario) st(i int) int64 {
	if len(s.sts) == 0 {
		return 0
	}
	return s.sts[i]
}

type chunkJSON struct {
	Data string `json:"data"`
	// Left out of long chunks, whose histograms come back as they were sent.
	Read []row `json:"read,omitempty"`
}

// chunkCase is what was appended and the chunks that Prometheus' appender made of it.
type chunkCase struct {
	Name     string      `json:"name"`
	Encoding int         `json:"encoding"`
	Sent     []row       `json:"sent"`
	Chunks   []chunkJSON `json:"chunks"`
}

func growing(schema int32, n int) []*histogram.Histogram {
	var hs []*histogram.Histogram
	for i := range n {
		k := int64(i)
		hs = append(hs, observed(schema, uint64(i), -3, []int64{1 + k, 0, 2 * k, 7}, 2, []int64{k * k, 3 + k}))
	}
	return hs
}

func scenarios() []scenario {
	var all []scenario
	add := func(name string, hs ...*histogram.Histogram) { all = append(all, scenario{name: name, hs: hs}) }
	for schema := int32(-4); schema <= 8; schema++ {
		add(fmt.Sprintf("schema %d", schema), growing(schema, 3)...)
	}
	with := func(h *histogram.Histogram, f func(*histogram.Histogram)) *histogram.Histogram { f(h); return h }
	pos := func(start int32, counts ...int64) *histogram.Histogram { return observed(3, 1, start, counts, 0, nil) }
	neg := func(start int32, counts ...int64) *histogram.Histogram { return observed(3, 1, 0, nil, start, counts) }
	add("empty", &histogram.Histogram{}, &histogram.Histogram{})
	add("only positive", pos(0, 1, 2), pos(0, 2, 3), pos(0, 2, 3))
	add("only negative", neg(-9, 1, 2), neg(-9, 2, 3), neg(-9, 7, 3))
	add("counter reset", pos(0, 5, 6), pos(0, 6, 7), pos(0, 1, 1), pos(0, 2, 2))
	add("new buckets", pos(0, 5, 6), pos(-2, 0, 1, 6, 7, 3), pos(-2, 0, 1, 6, 7, 3, 0, 0, 9), pos(-5, 1, 0, 0, 0, 1, 6, 7, 3, 0, 0, 9))
	add("empty bucket vanishes", pos(0, 5, 0, 6), with(pos(0, 5, 6), func(h *histogram.Histogram) {
		h.PositiveSpans = []histogram.Span{{Offset: 0, Length: 1}, {Offset: 1, Length: 1}}
	}), pos(0, 6, 0, 6))
	add("used bucket vanishes", pos(0, 5, 1, 6), pos(0, 9, 9), pos(0, 9, 9, 9))
	add("reset hint", pos(0, 5), with(pos(0, 6), func(h *histogram.Histogram) { h.CounterResetHint = histogram.CounterReset }), pos(0, 7))
	add("no reset hint", pos(0, 5), with(pos(0, 6), func(h *histogram.Histogram) { h.CounterResetHint = histogram.NotCounterReset }), pos(0, 7))
	gauge := func(h *histogram.Histogram) { h.CounterResetHint = histogram.GaugeType }
	add("gauge", with(pos(0, 5, 1), gauge), with(pos(0, 3, 9), gauge), with(pos(2, 4), gauge), with(pos(-3, 4, 5), gauge), pos(0, 1))
	add("zero threshold changes", pos(0, 5), with(pos(0, 6), func(h *histogram.Histogram) { h.ZeroThreshold = math.Ldexp(1, -128) }),
		with(pos(0, 7), func(h *histogram.Histogram) { h.ZeroThreshold = 0 }),
		with(pos(0, 8), func(h *histogram.Histogram) { h.ZeroThreshold = math.Ldexp(1, 10) }))
	add("schema changes", observed(1, 0, 0, []int64{1}, 0, nil), observed(2, 0, 0, []int64{2}, 0, nil))
	custom := func(bounds []float64, counts ...int64) *histogram.Histogram {
		return with(observed(histogram.CustomBucketsSchema, 0, 0, counts, 0, nil), func(h *histogram.Histogram) { h.CustomValues = bounds })
	}
	bounds := []float64{-1.5, 0, 0.005, 0.25, 1, 33554.43, 33554.431, 1e9, math.MaxFloat64}
	add("custom buckets", custom(bounds, 1, 2, 3), custom(bounds, 1, 2, 3, 4), custom(bounds, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10))
	add("custom bounds change", custom(bounds, 1), custom([]float64{math.Inf(-1), 0.1, 0.1001}, 2), custom(nil, 3))
	stale := staleHistogram
	add("stale in the middle", pos(0, 5, 1), stale(), pos(0, 6, 1), pos(0, 7, 1), stale(), stale())
	add("stale first", stale(), pos(0, 6, 1), pos(0, 7, 1))
	sums := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.Float64frombits(value.NormalNaN), math.Float64frombits(0xfff8000000000123), -1e300, 5e-324}
	var odd []*histogram.Histogram
	for i, sum := range sums {
		odd = append(odd, with(pos(0, int64(i), 3), func(h *histogram.Histogram) { h.Sum = sum }))
	}
	add("odd sums", odd...)
	add("odd spans", with(pos(0, 1, 2, 3), func(h *histogram.Histogram) {
		h.PositiveSpans = []histogram.Span{{Offset: -5, Length: 0}, {Offset: 2, Length: 1}, {Offset: 0, Length: 2}, {Offset: 7, Length: 0}}
	}), with(pos(0, 1, 2, 4), func(h *histogram.Histogram) {
		h.PositiveSpans = []histogram.Span{{Offset: -3, Length: 3}}
	}))
	add("far buckets", pos(math.MinInt32, 1, 2), pos(math.MinInt32, 3, 4), with(pos(0, 3, 4, 5), func(h *histogram.Histogram) {
		h.PositiveSpans = []histogram.Span{{Offset: math.MinInt32, Length: 2}, {Offset: math.MaxInt32, Length: 1}}
	}))
	add("large counts", with(pos(0, math.MaxInt64), func(h *histogram.Histogram) { h.Count, h.ZeroCount = math.MaxInt64, 0 }),
		with(pos(0, math.MaxInt64), func(h *histogram.Histogram) { h.Count, h.ZeroCount = math.MaxUint64, math.MaxUint64-math.MaxInt64 }))
	r := rand.New(rand.NewSource(3))
	var long []*histogram.Histogram
	counts := make([]int64, 5)
	for range 20 {
		for i := range counts {
			counts[i] += int64(r.Uint64() >> (20 + r.Intn(44)))
		}
		long = append(long, observed(2, 0, -2, append([]int64{}, counts...), 0, nil))
	}
	all = append(all, scenario{name: "any deltas", hs: long, step: 1 << 33})
	return all
}

// withStarts are the scenarios for the encodings with start timestamps.
func withStarts() []scenario {
	var all []scenario
	for _, s := range scenarios() {
		switch s.name {
		case "schema 2", "custom buckets", "new buckets", "counter reset", "gauge", "stale in the middle", "stale first":
			all = append(all, s)
			fixed, moving := s, s
			fixed.name += ", one start"
			moving.name += ", moving start"
			for i := range s.hs {
				fixed.sts = append(fixed.sts, 1599999990000)
				moving.sts = append(moving.sts, s.time(i)-int64(i*i*i))
			}
			all = append(all, fixed, moving)
		}
	}
	// Without buckets, so that many of them stay small.
	few := func(n int) (hs []*histogram.Histogram) {
		for i := range n {
			hs = append(hs, observed(0, uint64(i), 0, nil, 0, nil))
		}
		return hs
	}
	for _, change := range []int{126, 127, 128} {
		s := scenario{name: fmt.Sprintf("start changes at %d", change), hs: few(131)}
		for i := range s.hs {
			st := int64(0)
			if i >= change {
				st = 1600000000000
			}
			s.sts = append(s.sts, st)
		}
		all = append(all, s)
	}
	return all
}

func histogramCase(s scenario, enc chunkenc.Encoding) chunkCase {
	c := chunkCase{Name: s.name, Encoding: int(enc)}
	var done []chunkenc.Chunk
	current := must(chunkenc.NewEmptyChunk(enc))
	app := must(current.Appender())
	for i, h := range s.hs {
		t, st := s.time(i), s.st(i)
		var next chunkenc.Chunk
		var recoded bool
		var newApp chunkenc.Appender
		var err error
		if enc == chunkenc.EncFloatHistogram || enc == chunkenc.EncFloatHistogramST {
			f := h.ToFloat(nil)
			if !isStale(h) {
				f = fractional(h)
			}
			c.Sent = append(c.Sent, row{T: t, ST: st, Hist: ofFloat(f)})
			next, recoded, newApp, err = app.AppendFloatHistogram(nil, st, t, f, false)
		} else {
			c.Sent = append(c.Sent, row{T: t, ST: st, Hist: ofInteger(h)})
			next, recoded, newApp, err = app.AppendHistogram(nil, st, t, h.Copy(), false)
		}
		check(err)
		if next != nil {
			if !recoded {
				done = append(done, current)
			}
			current = next
		}
		app = newApp
	}
	for _, chunk := range append(done, current) {
		read := must(rowsOf(chunk.Iterator(nil)))
		if len(read) > 50 {
			read = nil
		}
		c.Chunks = append(c.Chunks, chunkJSON{hex.EncodeToString(chunk.Bytes()), read})
	}
	return c
}

func histogramCases() []chunkCase {
	var cases []chunkCase
	for _, s := range scenarios() {
		cases = append(cases, histogramCase(s, chunkenc.EncHistogram), histogramCase(s, chunkenc.EncFloatHistogram))
	}
	for _, s := range withStarts() {
		cases = append(cases, histogramCase(s, chunkenc.EncHistogramST))
		if len(s.hs) < 50 {
			cases = append(cases, histogramCase(s, chunkenc.EncFloatHistogramST))
		}
	}
	return cases
}

type xor2Case struct {
	Name   string   `json:"name"`
	Times  []int64  `json:"timestamps"`
	Values []string `json:"values"`
	Starts []int64  `json:"starts"`
	Chunk  string   `json:"chunk"`
}

func xor2Cases() []xor2Case {
	var cases []xor2Case
	add := func(name string, ts []int64, vs []float64, sts []int64) {
		c := chunkenc.NewXOR2Chunk()
		app := must(c.Appender())
		for i := range ts {
			st := int64(0)
			if len(sts) > 0 {
				st = sts[i]
			}
			app.Append(st, ts[i], vs[i])
		}
		cases = append(cases, xor2Case{name, ts, bitsOf(vs), append([]int64{}, sts...), hex.EncodeToString(c.Bytes())})
	}
	bits := math.Float64frombits
	staleNaN := bits(value.StaleNaN)
	starts := func(n int, f func(i int) int64) (sts []int64) {
		for i := range n {
			sts = append(sts, f(i))
		}
		return sts
	}
	for _, x := range xorCases() {
		vs := floatsOf(x.Values)
		n := len(vs)
		if n > 150 {
			n = 150
		}
		ts := x.Timestamps[:n]
		vs = vs[:n]
		add(x.Name, ts, vs, nil)
		if n <= 20 || x.Name == "120 samples with jitter" {
			add(x.Name+", one start", ts, vs, starts(n, func(int) int64 { return -5 }))
			add(x.Name+", start is the sample before", ts, vs, starts(n, func(i int) int64 { return ts[max(i-1, 0)] }))
			add(x.Name+", late start", ts, vs, starts(n, func(i int) int64 { return int64(i / 3) }))
		}
	}
	// Every border of the two's complement ranges.
	for _, dod := range []int64{-524289, -524288, -524287, -4097, -4096, -4095, -1, 1, 4095, 4096, 4097, 524287, 524288, 524289} {
		t := []int64{0, 1 << 21, 0, 0}
		t[2] = t[1] + (t[1] - t[0]) + dod
		t[3] = t[2] + (t[2] - t[1])
		add(fmt.Sprintf("delta of deltas %d", dod), t, []float64{1, 1, 2, 2}, nil)
		add(fmt.Sprintf("delta of deltas %d, stale", dod), t, []float64{1, staleNaN, staleNaN, 1}, nil)
	}
	add("all stale", []int64{1, 2, 3, 5, 1000000}, []float64{staleNaN, staleNaN, staleNaN, staleNaN, staleNaN}, nil)
	add("stale first", []int64{1, 2, 3, 4}, []float64{staleNaN, 1, 0, 1}, nil)
	for _, change := range []int{126, 127, 128, 200} {
		n := 210
		var ts []int64
		var vs []float64
		for i := range n {
			ts = append(ts, int64(i)*1000)
			vs = append(vs, float64(i%3))
		}
		add(fmt.Sprintf("start changes at %d", change), ts, vs, starts(n, func(i int) int64 {
			if i >= change {
				return 777
			}
			return 0
		}))
	}
	r := rand.New(rand.NewSource(4))
	var ts, sts []int64
	var vs []float64
	t := int64(1700000000000)
	for range 120 {
		t += int64(r.Uint64() >> (30 + r.Intn(34)))
		ts = append(ts, t)
		vs = append(vs, bits(r.Uint64()>>uint(r.Intn(64))<<uint(r.Intn(64))))
		sts = append(sts, t-int64(r.Uint64()>>uint(8+r.Intn(56))))
	}
	add("anything", ts, vs, sts)
	return cases
}
