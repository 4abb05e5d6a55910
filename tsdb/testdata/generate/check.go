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

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// recoded makes Prometheus encode the samples of a block anew in every way that it has, and returns what the last of them holds.
//
// A chunk that breaks a rule of the appender can be read for years: only this finds it.
func recoded(block, out string) []seriesRows {
	trimmed(block)
	// A copy that lacks some samples overlaps the block, so that compaction cannot take over a chunk as it is.
	copied := filepath.Join(out, "copy")
	check(os.CopyFS(copied, os.DirFS(block)))
	copied = renamed(copied, "01J0000000000000000000000Z")
	logger := slog.New(slog.DiscardHandler)
	b := must(tsdb.OpenBlock(logger, copied, nil, nil))
	meta := b.Meta()
	all := labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")
	width := (meta.MaxTime - meta.MinTime) / 40
	for i := int64(0); i < 20; i++ {
		from := meta.MinTime + (2*i+1)*width
		check(b.Delete(context.Background(), from, from+width/3, all))
	}
	check(b.Close())
	ctx := context.Background()
	compactor := must(tsdb.NewLeveledCompactor(ctx, nil, logger, []int64{7200000, 3 * 7200000}, chunkenc.NewPool(), nil))
	dest := filepath.Join(out, "compacted")
	check(os.Mkdir(dest, 0o777))
	must(compactor.Compact(dest, []string{block, copied}, nil))
	return queried(onlyBlock(dest))
}

// trimmed asks for chunks of ranges that cut them in the middle, as remote read and tombstones do.
func trimmed(dir string) {
	block := must(tsdb.OpenBlock(slog.New(slog.DiscardHandler), dir, nil, nil))
	defer block.Close()
	meta := block.Meta()
	width := (meta.MaxTime - meta.MinTime) / 7
	all := labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")
	for i := int64(0); i < 7; i++ {
		mint, maxt := meta.MinTime+i*width+1, meta.MinTime+(i+1)*width
		plain := must(tsdb.NewBlockQuerier(block, mint, maxt))
		wanted := 0
		set := plain.Select(context.Background(), true, nil, all)
		for set.Next() {
			wanted += len(must(rowsOf(set.At().Iterator(nil))))
		}
		check(set.Err())
		q := must(tsdb.NewBlockChunkQuerier(block, mint, maxt))
		found := 0
		series := q.Select(context.Background(), true, nil, all)
		for series.Next() {
			it := series.At().Iterator(nil)
			for it.Next() {
				found += len(must(rowsOf(it.At().Chunk.Iterator(nil))))
			}
			check(it.Err())
		}
		check(series.Err())
		if found != wanted {
			check(fmt.Errorf("chunks of [%d, %d] hold %d samples, not %d", mint, maxt, found, wanted))
		}
		check(plain.Close())
		check(q.Close())
	}
}

// verdict is the answer for one histogram.
type verdict struct {
	Error   string         `json:"error"`
	Reduced *histogramJSON `json:"reduced"`
}

// judge says of each histogram whether the receiver of remote write would take it, which first reduces a schema too fine to be stored.
func judge(in io.Reader, to io.Writer) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, math.MaxInt32)
	w := bufio.NewWriter(to)
	out := json.NewEncoder(w)
	for lines.Scan() {
		var h histogramJSON
		check(json.Unmarshal(lines.Bytes(), &h))
		var v verdict
		if err := v.judge(&h); err != nil {
			v = verdict{Error: err.Error()}
		}
		check(out.Encode(v))
	}
	check(lines.Err())
	check(w.Flush())
}

func (v *verdict) judge(h *histogramJSON) error {
	reduce := histogram.IsExponentialSchemaReserved(h.Schema) && h.Schema > histogram.ExponentialSchemaMax
	if h.Float {
		f := h.float()
		if reduce {
			if err := f.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return err
			}
			v.Reduced = ofFloat(f)
		}
		return f.Validate()
	}
	i := h.integer()
	if reduce {
		if err := i.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
			return err
		}
		v.Reduced = ofInteger(i)
	}
	return i.Validate()
}
