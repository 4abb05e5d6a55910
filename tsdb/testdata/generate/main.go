// Prometheus' own code as the oracle of the tests.
//
//	generate golden ../golden     writes the golden files:
//
// xor.json            difficult inputs for XOR chunks and the bytes that Prometheus makes of them
// xor2.json           the same with start timestamps, for XOR2 chunks
// histograms.json     series of histograms and the chunks, in all four encodings, that Prometheus makes of them
// series.json         what the two blocks hold
// head/               a block written by tsdb.BlockWriter
// exact/              a block written by the index and chunk writers of Prometheus with a cut every 120 samples
// histograms/ starts/ tombstones/     blocks with all encodings that Prometheus wrote from its head; `.jsonl` what it answers from them
//
//	generate dump BLOCK           prints what Prometheus answers from a block
//	generate recode BLOCK OUT     makes Prometheus write every chunk of the block anew, and prints what it answers from the result
//	generate validate             judges histograms from standard input, one JSON object on each line
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"

	"github.com/oklog/ulid/v2"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"
)

const samplesPerChunk = 120

// check ends the program. It does not panic, because closing a block waits for its readers, and what is deferred would wait for ever.
func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		debug.PrintStack()
		os.Exit(1)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

type xorCase struct {
	Name       string   `json:"name"`
	Timestamps []int64  `json:"timestamps"`
	Values     []string `json:"values"` // Bits, hexadecimal.
	Chunk      string   `json:"chunk"`  // Hexadecimal.
}

type series struct {
	Labels     [][2]string `json:"labels"`
	Timestamps []int64     `json:"timestamps"`
	Values     []string    `json:"values"`
}

func bitsOf(vs []float64) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = fmt.Sprintf("%016x", math.Float64bits(v))
	}
	return out
}

func floatsOf(bits []string) []float64 {
	out := make([]float64, len(bits))
	for i, b := range bits {
		var u uint64
		must(fmt.Sscanf(b, "%016x", &u))
		out[i] = math.Float64frombits(u)
	}
	return out
}

func encode(ts []int64, vs []float64) *chunkenc.XORChunk {
	c := chunkenc.NewXORChunk()
	app := must(c.Appender())
	for i := range ts {
		app.Append(0, ts[i], vs[i])
	}
	return c
}

func xorCases() []xorCase {
	var cases []xorCase
	add := func(name string, ts []int64, vs []float64) {
		cases = append(cases, xorCase{name, ts, bitsOf(vs), hex.EncodeToString(encode(ts, vs).Bytes())})
	}
	bits := math.Float64frombits
	add("empty", []int64{}, []float64{})
	add("one sample", []int64{1600000000000}, []float64{1.5})
	add("one sample at the first timestamp", []int64{math.MinInt64}, []float64{bits(value.StaleNaN)})
	add("one sample at the last timestamp", []int64{math.MaxInt64}, []float64{math.Inf(-1)})
	add("two samples", []int64{0, 1}, []float64{0, 0})
	add("two samples, different values", []int64{-1, 1}, []float64{1, 2})
	add("widest delta", []int64{math.MinInt64, math.MaxInt64}, []float64{0, 1})
	add("widest delta and back", []int64{math.MinInt64, math.MaxInt64, math.MinInt64, 0}, []float64{0, 1, 2, 3})
	add("falling timestamps", []int64{100, 50, 0, -50, -200}, []float64{1, 2, 3, 4, 5})
	special := []float64{
		0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), bits(value.NormalNaN), bits(value.StaleNaN),
		bits(0x7ff0000000000001), bits(0xfff8000000000001), bits(0xffffffffffffffff), bits(0x7fffffffffffffff),
		bits(1), bits(0x000fffffffffffff), math.MaxFloat64, -math.MaxFloat64, bits(value.StaleNaN), bits(value.StaleNaN), 1, 1, 0,
	}
	ts := make([]int64, len(special))
	for i := range ts {
		ts[i] = 1600000000000 + int64(i)*15000
	}
	add("special values", ts, special)
	// Every border of every range of the delta of deltas, from both sides.
	for _, n := range []uint{14, 17, 20, 32, 63} {
		low, high := -(int64(1)<<(n-1) - 1), int64(1)<<(n-1)
		for _, dod := range []int64{low - 1, low, low + 1, high - 1, high, high + 1} {
			t := []int64{0, 1 << 21, 0, 0}
			t[2] = t[1] + (t[1] - t[0]) + dod
			t[3] = t[2] + (t[2] - t[1])
			add(fmt.Sprintf("%d bits, delta of deltas %d", n, dod), t, []float64{1, 1, 2, 2})
		}
	}
	// Each number of significant bits and of leading zeros, first growing, then shrinking windows.
	var vt []int64
	var vv []float64
	push := func(u uint64) {
		vt = append(vt, int64(len(vt))*1000)
		vv = append(vv, bits(u))
	}
	for i := range 64 {
		push(0)
		push(1 << i)
		push(^uint64(0) >> i)
		push(^uint64(0) << i)
	}
	add("every window", vt, vv)
	r := rand.New(rand.NewSource(1))
	var rt []int64
	var rv []float64
	for i := range samplesPerChunk {
		rt = append(rt, 1700000000000+int64(i)*15000+int64(r.Intn(7))-3)
		rv = append(rv, float64(r.Intn(100000))/100)
	}
	add("120 samples with jitter", rt, rv)
	rt, rv = nil, nil
	t := int64(-62135596800000)
	for i := range samplesPerChunk {
		t += int64(r.Uint64() >> (24 + r.Intn(40)))
		rt = append(rt, t)
		rv = append(rv, bits(r.Uint64()>>uint(r.Intn(64))<<uint(r.Intn(64))))
		_ = i
	}
	add("120 samples, anything", rt, rv)
	rt, rv = nil, nil
	for i := range samplesPerChunk {
		rt = append(rt, -3600000+int64(i)*60000)
		rv = append(rv, float64(i*i))
	}
	add("120 samples around 1970", rt, rv)
	return cases
}

func makeSeries() []series {
	const start = int64(1600005600000)/7200000*7200000 + 7200000
	r := rand.New(rand.NewSource(2))
	var all []series
	add := func(n int, step int64, next func(i int) float64, pairs ...string) {
		s := series{}
		for i := 0; i < len(pairs); i += 2 {
			s.Labels = append(s.Labels, [2]string{pairs[i], pairs[i+1]})
		}
		var vs []float64
		for i := range n {
			s.Timestamps = append(s.Timestamps, start+1+int64(i)*step)
			vs = append(vs, next(i))
		}
		s.Values = bitsOf(vs)
		all = append(all, s)
	}
	special := []float64{
		1, math.Float64frombits(value.StaleNaN), math.Float64frombits(value.NormalNaN), math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 0,
		math.Float64frombits(0x7ff0000000000001),
	}
	count := 0.0
	counter := func(int) float64 { count += float64(r.Intn(1000)); return count }
	add(len(special), 15000, func(i int) float64 { return special[i] }, "__name__", "special", "job", "a")
	add(1, 1, counter, "__name__", "single")
	add(120, 1000, counter, "__name__", "exactly", "n", "120")
	add(121, 1000, counter, "__name__", "exactly", "n", "121")
	add(481, 14999, counter, "__name__", "long", "job", "a")
	add(3, 60000, counter, "a", "no name")
	add(3, 60000, counter, "__name__", "ab", "job", "a")
	add(3, 60000, counter, "__name__", "a", "job", "b")
	add(3, 60000, counter, "__name__", "a", "job", "bb", "zone", "ü")
	add(3, 60000, counter, "__name__", "a.b c", "Überschrift", "grün", "job", "a\x00\nb")
	add(3, 60000, counter, "__name__", "long value", "v", string(make([]byte, 300)))
	for i := range 70 {
		add(2, 30000, counter, "__name__", "many", "i", fmt.Sprint(i), "job", "a", "parity", []string{"even", "odd"}[i%2])
	}
	sort.Slice(all, func(i, j int) bool { return labels.Compare(lset(all[i]), lset(all[j])) < 0 })
	return all
}

func lset(s series) labels.Labels {
	var flat []string
	for _, l := range s.Labels {
		flat = append(flat, l[0], l[1])
	}
	return labels.FromStrings(flat...)
}

func writeJSON(path string, v any) {
	check(os.WriteFile(path, append(must(json.Marshal(v)), '\n'), 0o666))
}

// headBlock goes the way of samples in a server: head, then block.
func headBlock(dir string, all []series) {
	check(os.RemoveAll(dir))
	check(os.MkdirAll(dir, 0o777))
	w := must(tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, 7200000))
	// One appender, because a new one would refuse what is more than half a block older than the newest sample.
	ctx := context.Background()
	app := w.Appender(ctx)
	for _, s := range all {
		for i, v := range floatsOf(s.Values) {
			must(app.Append(0, lset(s), s.Timestamps[i], v))
		}
	}
	check(app.Commit())
	must(w.Flush(ctx))
	check(w.Close())
	renamed(onlyBlock(dir), "01M7XV0WEDKFFB1JJEZHQ3YEXH")
}

// exactBlock uses the writers under the compactor, so that the cut is ours and every byte can be compared.
func exactBlock(dir string, all []series) {
	id := ulid.MustParse("01J0000000000000000000000A")
	check(os.RemoveAll(dir))
	dir = filepath.Join(dir, id.String())
	check(os.MkdirAll(dir, 0o777))
	symbols := map[string]struct{}{"": {}}
	for _, s := range all {
		for _, l := range s.Labels {
			symbols[l[0]], symbols[l[1]] = struct{}{}, struct{}{}
		}
	}
	sorted := make([]string, 0, len(symbols))
	for s := range symbols {
		sorted = append(sorted, s)
	}
	sort.Strings(sorted)
	iw := must(index.NewWriter(context.Background(), filepath.Join(dir, "index")))
	for _, s := range sorted {
		check(iw.AddSymbol(s))
	}
	cw := must(chunks.NewWriter(filepath.Join(dir, "chunks")))
	meta := tsdb.BlockMeta{ULID: id, MinTime: math.MaxInt64, MaxTime: math.MinInt64, Version: 1}
	meta.Compaction = tsdb.BlockMetaCompaction{Level: 1, Sources: []ulid.ULID{id}}
	for n, s := range all {
		vs := floatsOf(s.Values)
		var metas []chunks.Meta
		for from := 0; from < len(vs); from += samplesPerChunk {
			to := min(from+samplesPerChunk, len(vs))
			metas = append(metas, chunks.Meta{
				Chunk: encode(s.Timestamps[from:to], vs[from:to]), MinTime: s.Timestamps[from], MaxTime: s.Timestamps[to-1],
			})
		}
		check(cw.WriteChunks(metas...))
		check(iw.AddSeries(storage.SeriesRef(n), lset(s), metas...))
		meta.MinTime = min(meta.MinTime, s.Timestamps[0])
		meta.MaxTime = max(meta.MaxTime, s.Timestamps[len(vs)-1]+1)
		meta.Stats.NumSamples += uint64(len(vs))
		meta.Stats.NumFloatSamples += uint64(len(vs))
		meta.Stats.NumSeries++
		meta.Stats.NumChunks += uint64(len(metas))
	}
	check(cw.Close())
	check(iw.Close())
	must(tombstones.WriteFile(slog.New(slog.DiscardHandler), dir, tombstones.NewMemTombstones()))
	check(os.WriteFile(filepath.Join(dir, "meta.json"), must(json.MarshalIndent(meta, "", "\t")), 0o666))
}

func writeGolden(out string) {
	check(os.MkdirAll(out, 0o777))
	writeJSON(filepath.Join(out, "xor.json"), xorCases())
	writeJSON(filepath.Join(out, "xor2.json"), xor2Cases())
	writeJSON(filepath.Join(out, "histograms.json"), histogramCases())
	all := makeSeries()
	writeJSON(filepath.Join(out, "series.json"), all)
	headBlock(filepath.Join(out, "head"), all)
	exactBlock(filepath.Join(out, "exact"), all)
	histogramBlocks(out)
}

func main() {
	switch mode, args := os.Args[1], os.Args[2:]; mode {
	case "golden":
		writeGolden(args[0])
	case "dump":
		writeLines(os.Stdout, queried(args[0]))
	case "recode":
		writeLines(os.Stdout, recoded(args[0], args[1]))
	case "validate":
		judge(os.Stdin, os.Stdout)
	default:
		panic(mode)
	}
}
