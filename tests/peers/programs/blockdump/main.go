// Prints what Prometheus' own code reads from blocks, one JSON object for each chunk: block, labels, encoding, counter reset header and samples.
//
//	blockdump DIRECTORY...
//
// A directory is a block or holds blocks. Floats are printed as their bits. Of a histogram the buckets that are not zero are printed with
// their indices, because the layout of spans belongs to the chunk and not to the sample.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

type chunk struct {
	Block    string      `json:"block"`
	Labels   [][2]string `json:"labels"`
	Encoding int         `json:"encoding"`
	Header   int         `json:"header"`
	Samples  []sample    `json:"samples"`
}

type sample struct {
	T     int64  `json:"t"`
	Start int64  `json:"start"`
	Kind  string `json:"kind"` // float, integer, floathistogram
	Value string `json:"value"`
	Hint  int    `json:"hint"`
	First bool   `json:"first"`
}

func bits(v float64) string { return fmt.Sprintf("%016x", math.Float64bits(v)) }

// side is `index:count` for each bucket that is not zero.
func side[N int64 | float64](spans []histogram.Span, counts []N, show func(N) string) string {
	out, i, n := "", int64(0), 0
	for _, span := range spans {
		i += int64(span.Offset)
		for range span.Length {
			if counts[n] != 0 {
				out += " " + strconv.FormatInt(i, 10) + ":" + show(counts[n])
			}
			i++
			n++
		}
	}
	return "[" + out + " ]"
}

func custom(bounds []float64) (out string) {
	for _, b := range bounds {
		out += " " + bits(b)
	}
	return "[" + out + " ]"
}

func integer(h *histogram.Histogram) string {
	absolute := func(deltas []int64) []int64 {
		out, sum := make([]int64, len(deltas)), int64(0)
		for i, d := range deltas {
			sum += d
			out[i] = sum
		}
		return out
	}
	show := func(n int64) string { return strconv.FormatInt(n, 10) }
	return fmt.Sprintf("schema %d threshold %s sum %s count %d zero %d positive %s negative %s bounds %s",
		h.Schema, bits(h.ZeroThreshold), bits(h.Sum), h.Count, h.ZeroCount,
		side(h.PositiveSpans, absolute(h.PositiveBuckets), show), side(h.NegativeSpans, absolute(h.NegativeBuckets), show), custom(h.CustomValues))
}

func float(h *histogram.FloatHistogram) string {
	return fmt.Sprintf("schema %d threshold %s sum %s count %s zero %s positive %s negative %s bounds %s",
		h.Schema, bits(h.ZeroThreshold), bits(h.Sum), bits(h.Count), bits(h.ZeroCount),
		side(h.PositiveSpans, h.PositiveBuckets, bits), side(h.NegativeSpans, h.NegativeBuckets, bits), custom(h.CustomValues))
}

// stale keeps of a stale marker only what has a meaning.
const stale = "stale"

const staleBits = 0x7ff0000000000002

func read(c chunkenc.Chunk) ([]sample, error) {
	var out []sample
	it := c.Iterator(nil)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		s := sample{T: it.AtT(), Start: it.AtST(), First: len(out) == 0}
		switch kind {
		case chunkenc.ValFloat:
			_, v := it.At()
			s.Kind, s.Value = "float", bits(v)
		case chunkenc.ValHistogram:
			_, h := it.AtHistogram(nil)
			s.Kind, s.Value, s.Hint = "integer", integer(h), int(h.CounterResetHint)
			if math.Float64bits(h.Sum) == staleBits {
				s.Kind, s.Value = stale, stale
			}
		case chunkenc.ValFloatHistogram:
			_, h := it.AtFloatHistogram(nil)
			s.Kind, s.Value, s.Hint = "floathistogram", float(h), int(h.CounterResetHint)
			if math.Float64bits(h.Sum) == staleBits {
				s.Kind, s.Value = stale, stale
			}
		}
		out = append(out, s)
	}
	return out, it.Err()
}

func header(c chunkenc.Chunk) int {
	if h, ok := c.(interface {
		GetCounterResetHeader() chunkenc.CounterResetHeader
	}); ok {
		return int(h.GetCounterResetHeader())
	}
	return 0
}

func dump(directory string, out *json.Encoder) error {
	block, err := tsdb.OpenBlock(nil, directory, nil, nil)
	if err != nil {
		return err
	}
	defer block.Close()
	ir, err := block.Index()
	if err != nil {
		return err
	}
	defer ir.Close()
	cr, err := block.Chunks()
	if err != nil {
		return err
	}
	defer cr.Close()
	name, value := index.AllPostingsKey()
	postings, err := ir.Postings(context.Background(), name, value)
	if err != nil {
		return err
	}
	var builder labels.ScratchBuilder
	var metas []chunks.Meta
	for postings.Next() {
		if err := ir.Series(postings.At(), &builder, &metas); err != nil {
			return err
		}
		var pairs [][2]string
		builder.Labels().Range(func(l labels.Label) { pairs = append(pairs, [2]string{l.Name, l.Value}) })
		for _, meta := range metas {
			c, _, err := cr.ChunkOrIterable(meta)
			if err != nil {
				return fmt.Errorf("chunk of %v: %w", pairs, err)
			}
			samples, err := read(c)
			if err != nil {
				return fmt.Errorf("samples of %v: %w", pairs, err)
			}
			// What the index says of the chunk must be so: readers skip chunks by it.
			if len(samples) != c.NumSamples() || len(samples) == 0 || samples[0].T != meta.MinTime || samples[len(samples)-1].T > meta.MaxTime {
				return fmt.Errorf("chunk of %v says [%d, %d] and %d samples, and that is not so", pairs, meta.MinTime, meta.MaxTime, c.NumSamples())
			}
			if err := out.Encode(chunk{block.Meta().ULID.String(), pairs, int(c.Encoding()), header(c), samples}); err != nil {
				return err
			}
		}
	}
	return postings.Err()
}

func main() {
	w := bufio.NewWriterSize(os.Stdout, 1<<20)
	out := json.NewEncoder(w)
	for _, directory := range os.Args[1:] {
		metas, err := filepath.Glob(filepath.Join(directory, "*", "meta.json"))
		if err != nil {
			log.Fatal(err)
		}
		if own := filepath.Join(directory, "meta.json"); len(metas) == 0 {
			metas = []string{own}
		}
		for _, meta := range metas {
			if err := dump(filepath.Dir(meta), out); err != nil {
				log.Fatalf("%s: %v", filepath.Dir(meta), err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
}
