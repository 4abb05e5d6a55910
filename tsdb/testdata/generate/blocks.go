package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"github.com/oklog/ulid/v2"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// seriesRows is one line of what a block holds.
type seriesRows struct {
	Labels [][2]string `json:"labels"`
	Rows   []row       `json:"rows"`
}

// queried is what Prometheus answers when a block is asked for everything.
func queried(dir string) []seriesRows {
	block := must(tsdb.OpenBlock(slog.New(slog.DiscardHandler), dir, nil, nil))
	defer block.Close()
	q := must(tsdb.NewBlockQuerier(block, math.MinInt64, math.MaxInt64))
	defer q.Close()
	var all []seriesRows
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	for set.Next() {
		s := seriesRows{}
		set.At().Labels().Range(func(l labels.Label) { s.Labels = append(s.Labels, [2]string{l.Name, l.Value}) })
		s.Rows = must(rowsOf(set.At().Iterator(nil)))
		all = append(all, s)
	}
	check(set.Err())
	return all
}

func writeLines(w io.Writer, all []seriesRows) {
	buffered := bufio.NewWriter(w)
	out := json.NewEncoder(buffered)
	for _, s := range all {
		check(out.Encode(s))
	}
	check(buffered.Flush())
}

func writeExpected(path string, all []seriesRows) {
	f := must(os.Create(path))
	writeLines(f, all)
	check(f.Close())
}

// onlyBlock is the path of the only block in a directory.
func onlyBlock(dir string) string {
	metas := must(filepath.Glob(filepath.Join(dir, "*", "meta.json")))
	if len(metas) != 1 {
		check(fmt.Errorf("%d blocks in %s", len(metas), dir))
	}
	return filepath.Dir(metas[0])
}

type appended struct {
	lset labels.Labels
	rows []row
}

// throughHead writes a block on the way that samples take in a server. Its name is given, so that it does not change from run to run.
func throughHead(dir, name string, starts bool, all []appended) string {
	check(os.RemoveAll(dir))
	check(os.MkdirAll(dir, 0o777))
	chunkDir := must(os.MkdirTemp("", "head"))
	defer os.RemoveAll(chunkDir)
	opts := tsdb.DefaultHeadOptions()
	opts.ChunkRange = 7200000
	opts.ChunkDirRoot = chunkDir
	if starts {
		opts.EnableSTStorage.Store(true)
		opts.EnableHistogramSTEncoding.Store(true)
		opts.FloatChunkEncoding.Store(uint32(chunkenc.EncXOR2))
	}
	logger := slog.New(slog.DiscardHandler)
	head := must(tsdb.NewHead(nil, logger, nil, nil, opts, tsdb.NewHeadStats()))
	check(head.Init(math.MinInt64))
	ctx := context.Background()
	app := head.AppenderV2(ctx)
	for _, s := range all {
		for _, r := range s.rows {
			var v float64
			var h *histogram.Histogram
			var f *histogram.FloatHistogram
			switch {
			case r.Hist == nil:
				v = floatOf(r.Bits)
			case r.Hist.Float:
				f = r.Hist.float()
			default:
				h = r.Hist.integer()
			}
			must(app.Append(0, s.lset, r.ST, r.T, v, h, f, storage.AOptions{}))
		}
	}
	check(app.Commit())
	compactor := must(tsdb.NewLeveledCompactor(ctx, nil, logger, []int64{7200000}, chunkenc.NewPool(), nil))
	must(compactor.Write(dir, head, head.MinTime(), head.MaxTime()+1, nil))
	check(head.Close())
	return renamed(onlyBlock(dir), name)
}

// renamed gives a block a constant name.
func renamed(block, name string) string {
	id := ulid.MustParse(name)
	path := filepath.Join(block, "meta.json")
	var meta tsdb.BlockMeta
	check(json.Unmarshal(must(os.ReadFile(path)), &meta))
	meta.ULID = id
	meta.Compaction.Sources = []ulid.ULID{id}
	check(os.WriteFile(path, must(json.MarshalIndent(meta, "", "\t")), 0o666))
	to := filepath.Join(filepath.Dir(block), name)
	check(os.RemoveAll(to))
	check(os.Rename(block, to))
	return to
}

const blockStart = int64(1600005600000)/7200000*7200000 + 7200000

// blockSeries are series of all kinds. Each scenario is one, as integers, floats or in turns, with floats between.
func blockSeries(starts bool) []appended {
	var all []appended
	st := func(i int, t int64) int64 {
		if !starts {
			return 0
		}
		return []int64{blockStart - 60000, blockStart - 60000, t - 1, 0}[i%4]
	}
	put := func(lset labels.Labels, n int, f func(i int) row) {
		s := appended{lset: lset}
		for i := range n {
			r := f(i)
			r.T = blockStart + 1 + int64(i)*15000
			r.ST = st(i/5, r.T)
			s.rows = append(s.rows, r)
		}
		all = append(all, s)
	}
	integer := func(h *histogram.Histogram) row { return row{Hist: ofInteger(h)} }
	float := func(h *histogram.Histogram) row {
		if isStale(h) {
			return row{Hist: ofFloat(h.ToFloat(nil))}
		}
		return row{Hist: ofFloat(fractional(h))}
	}
	special := []float64{1, math.Float64frombits(value.StaleNaN), math.Float64frombits(value.NormalNaN), math.Copysign(0, -1), math.Inf(-1), math.Float64frombits(0x7ff0000000000001)}
	put(labels.FromStrings("__name__", "floats"), 130, func(i int) row { return row{Bits: hexOf(special[i*i%len(special)])} })
	for _, s := range scenarios() {
		switch s.name {
		case "schema 0", "counter reset", "new buckets", "gauge", "custom buckets", "stale in the middle", "odd sums", "used bucket vanishes":
			put(labels.FromStrings("__name__", "integers", "case", s.name), len(s.hs), func(i int) row { return integer(s.hs[i]) })
			put(labels.FromStrings("__name__", "fractions", "case", s.name), len(s.hs), func(i int) row { return float(s.hs[i]) })
		}
	}
	put(labels.FromStrings("__name__", "mixed"), 24, func(i int) row {
		h := growing(2, i+1)[i]
		switch i / 3 % 4 {
		case 0:
			return row{Bits: hexOf(float64(i))}
		case 1:
			return integer(h)
		case 2:
			return float(h)
		}
		return row{Bits: hexOf(math.Float64frombits(value.StaleNaN))}
	})
	return all
}

func withTombstones(dir, name string, all []appended) {
	block := must(tsdb.OpenBlock(slog.New(slog.DiscardHandler), throughHead(dir, name, false, all), nil, nil))
	at := func(i int64) int64 { return blockStart + 1 + i*15000 }
	del := func(from, to int64, matcher *labels.Matcher) {
		check(block.Delete(context.Background(), from, to, matcher))
	}
	del(at(3), at(5), labels.MustNewMatcher(labels.MatchEqual, "__name__", "floats"))
	del(at(100), at(125), labels.MustNewMatcher(labels.MatchEqual, "__name__", "floats"))
	del(at(129), math.MaxInt64, labels.MustNewMatcher(labels.MatchEqual, "__name__", "floats"))
	del(math.MinInt64, at(0), labels.MustNewMatcher(labels.MatchEqual, "__name__", "mixed"))
	del(at(4)+1, at(9), labels.MustNewMatcher(labels.MatchEqual, "__name__", "mixed"))
	// Of one series nothing is left.
	del(math.MinInt64, math.MaxInt64, labels.MustNewMatcher(labels.MatchEqual, "case", "gauge"))
	del(at(1), at(1), labels.MustNewMatcher(labels.MatchEqual, "case", "schema 0"))
	check(block.Close())
}

func histogramBlocks(out string) {
	block := throughHead(filepath.Join(out, "histograms"), "01J0000000000000000000000B", false, blockSeries(false))
	writeExpected(filepath.Join(out, "histograms.jsonl"), queried(block))
	block = throughHead(filepath.Join(out, "starts"), "01J0000000000000000000000C", true, blockSeries(true))
	writeExpected(filepath.Join(out, "starts.jsonl"), queried(block))
	withTombstones(filepath.Join(out, "tombstones"), "01J0000000000000000000000D", blockSeries(false))
	writeExpected(filepath.Join(out, "tombstones.jsonl"), queried(onlyBlock(filepath.Join(out, "tombstones"))))
}
