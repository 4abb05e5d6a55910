// Serves metrics of every kind that Prometheus can scrape. Each request is one step, and all values follow from the number of the step, so that
// a run can be repeated; only timestamps are the clock's.
//
//	exposer 127.0.0.1:PORT
//
// Native histograms exist only in the protobuf format, which is used when the client asks for it.
package main

import (
	"fmt"
	"log"
	"math"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Steps between two counter resets.
const epoch = 37

var started = time.Now()

// corners are values that stores like to change.
var corners = map[string]uint64{
	"nan":           0x7ff8000000000001,
	"nan-payload":   0x7ff80000deadbeef,
	"negative-nan":  0xfff8000000000001,
	"inf":           0x7ff0000000000000,
	"negative-inf":  0xfff0000000000000,
	"zero":          0x0000000000000000,
	"negative-zero": 0x8000000000000000,
	"smallest":      0x0000000000000001,
	"subnormal":     0x000fffffffffffff,
	"largest":       0x7fefffffffffffff,
	"tenth":         0x3fb999999999999a,
	"three-tenths":  0x3fd3333333333334,
	"2^53+2":        0x4340000000000001,
}

// mix is a hash of two small numbers.
func mix(a, b int) int {
	x := uint64(a)*0x9e3779b97f4a7c15 + uint64(b)*0xbf58476d1ce4e5b9
	x ^= x >> 29
	x *= 0x94d049bb133111eb
	return int((x ^ (x >> 32)) & 0xffff)
}

func labels(pairs ...string) []*dto.LabelPair {
	var out []*dto.LabelPair
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return out
}

func family(name, help, unit string, kind dto.MetricType, metrics ...*dto.Metric) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: &name, Help: &help, Type: &kind, Metric: metrics}
	if unit != "" {
		f.Unit = &unit
	}
	return f
}

func gauge(value float64, pairs ...string) *dto.Metric {
	return &dto.Metric{Label: labels(pairs...), Gauge: &dto.Gauge{Value: &value}}
}

func exemplar(step int, value float64, pairs ...string) *dto.Exemplar {
	return &dto.Exemplar{Label: labels(pairs...), Value: &value, Timestamp: timestamppb.New(time.Now())}
}

// created moves when the counters start again.
func created(step int) *timestamppb.Timestamp {
	return timestamppb.New(started.Add(-time.Hour + time.Duration(step/epoch)*time.Minute))
}

func counter(step int, value float64, e *dto.Exemplar, pairs ...string) *dto.Metric {
	return &dto.Metric{
		Label:   labels(pairs...),
		Counter: &dto.Counter{Value: &value, Exemplar: e, CreatedTimestamp: created(step)},
	}
}

// buckets are indices and counts of one side; counts of a counter never shrink within an epoch, and now and then there is a new bucket.
func buckets(step, salt int, isGauge bool) (indices []int, counts []int64) {
	k := step%epoch + 1
	for i := -9; i < 30; i++ {
		h := mix(i+100, salt+step/epoch)
		if h%3 == 0 || h%31 > k {
			continue
		}
		n := int64(h % 7 * k)
		if isGauge {
			n = int64(mix(i+100, step) % 50)
		}
		indices, counts = append(indices, i), append(counts, n)
	}
	return indices, counts
}

func spans(indices []int) (out []*dto.BucketSpan) {
	next := 0
	for n, i := range indices {
		if n == 0 || i != next {
			out = append(out, &dto.BucketSpan{Offset: proto.Int32(int32(i - next)), Length: proto.Uint32(0)})
		}
		*out[len(out)-1].Length++
		next = i + 1
	}
	return out
}

// native makes a histogram of a schema; float ones have fractions, so that rounding would be seen.
func native(step int, schema int32, isFloat, isGauge, nanSum bool, pairs ...string) *dto.Metric {
	k := step%epoch + 1
	positive, positiveCounts := buckets(step, int(schema)+10, isGauge)
	negative, negativeCounts := buckets(step, int(schema)+50, isGauge)
	zero := int64(k)
	h := &dto.Histogram{
		Schema:        proto.Int32(schema),
		ZeroThreshold: proto.Float64(math.Ldexp(1, -128+step/epoch)),
		SampleSum:     proto.Float64(float64(k) * 1.1),
		PositiveSpan:  spans(positive),
		NegativeSpan:  spans(negative),
	}
	if !isGauge {
		h.CreatedTimestamp = created(step)
	}
	total := zero
	for _, n := range append(append([]int64{}, positiveCounts...), negativeCounts...) {
		total += n
	}
	if nanSum {
		// Observations of NaN are in the count and in no bucket.
		total += int64(k)
		h.SampleSum = proto.Float64(math.NaN())
	}
	if isFloat {
		h.SampleCountFloat, h.ZeroCountFloat = proto.Float64(float64(total)/3), proto.Float64(float64(zero)/3)
		for _, n := range positiveCounts {
			h.PositiveCount = append(h.PositiveCount, float64(n)/3)
		}
		for _, n := range negativeCounts {
			h.NegativeCount = append(h.NegativeCount, float64(n)/3)
		}
	} else {
		h.SampleCount, h.ZeroCount = proto.Uint64(uint64(total)), proto.Uint64(uint64(zero))
		deltas := func(counts []int64) (out []int64) {
			last := int64(0)
			for _, n := range counts {
				out, last = append(out, n-last), n
			}
			return out
		}
		h.PositiveDelta, h.NegativeDelta = deltas(positiveCounts), deltas(negativeCounts)
	}
	if step%3 == 0 {
		trace := fmt.Sprintf("%032x", step)
		h.Exemplars = []*dto.Exemplar{
			exemplar(step, float64(step)/10, "trace_id", trace, "span_id", trace[16:]),
			exemplar(step, float64(step)/7),
		}
	}
	return &dto.Metric{Label: labels(pairs...), Histogram: h}
}

// classic makes a histogram with bounds, which the scrape may turn into one with custom buckets.
func classic(step int, pairs ...string) *dto.Metric {
	k := uint64(step%epoch + 1)
	h := &dto.Histogram{CreatedTimestamp: created(step), SampleSum: proto.Float64(float64(k) * 0.3)}
	total := uint64(0)
	for i, bound := range []float64{0.005, 0.1, 0.25, 1, 2.5, 1e9 / 3, math.Inf(1)} {
		total += k * uint64(mix(i, 7)%5)
		b := &dto.Bucket{UpperBound: proto.Float64(bound), CumulativeCount: proto.Uint64(total)}
		if i == step%6 {
			b.Exemplar = exemplar(step, bound/2, "trace_id", fmt.Sprintf("%032x", step), "größe", "☃")
		}
		h.Bucket = append(h.Bucket, b)
	}
	h.SampleCount = proto.Uint64(total)
	return &dto.Metric{Label: labels(pairs...), Histogram: h}
}

func families(step int) []*dto.MetricFamily {
	n := float64(step)
	counters := float64(step%epoch) + 0.1
	var cornered []*dto.Metric
	for name, bits := range corners {
		cornered = append(cornered, gauge(math.Float64frombits(bits), "corner", name))
	}
	turning := make([]uint64, 0, len(corners))
	for _, name := range []string{"zero", "negative-zero", "nan", "largest", "smallest", "negative-inf", "tenth"} {
		turning = append(turning, corners[name])
	}
	cornered = append(cornered, gauge(math.Float64frombits(turning[step%len(turning)]), "corner", "turning"))
	out := []*dto.MetricFamily{
		family("exposer_steps", "Number of this scrape.", "", dto.MetricType_GAUGE, gauge(n)),
		family("exposer_corner", "Values that\nstores \"like\" to change \\.", "", dto.MetricType_GAUGE, cornered...),
		family("exposer.größe Ω", "Names of any characters.", "", dto.MetricType_GAUGE, gauge(n/3, "schlüssel ☃", "a\nb\"c\\\U0001F525")),
		family("exposer_requests_total", "Requests.", "", dto.MetricType_COUNTER,
			counter(step, counters, exemplar(step, n, "trace_id", fmt.Sprintf("%032x", step), "span_id", "0123456789abcdef"), "code", "200"),
			counter(step, counters*2, exemplar(step, n, "user", strconv.Itoa(step%5)), "code", "500"),
			counter(step, counters*3, nil, "code", "404")),
		family("exposer_busy_seconds_total", "Seconds.", "seconds", dto.MetricType_COUNTER, counter(step, counters/7, nil)),
		family("exposer_summary", "Quantiles.", "", dto.MetricType_SUMMARY, &dto.Metric{Summary: &dto.Summary{
			SampleCount: proto.Uint64(uint64(step)), SampleSum: proto.Float64(n * 1.7), CreatedTimestamp: created(0),
			Quantile: []*dto.Quantile{{Quantile: proto.Float64(0.5), Value: proto.Float64(n / 9)}, {Quantile: proto.Float64(0.99), Value: proto.Float64(math.NaN())}},
		}}),
		family("exposer_untyped", "No type.", "", dto.MetricType_UNTYPED, &dto.Metric{Untyped: &dto.Untyped{Value: &n}}),
		family("exposer_classic", "Has bounds.", "", dto.MetricType_HISTOGRAM, classic(step, "path", "/"), classic(step+5, "path", "/x")),
	}
	var ints, floats, gauges []*dto.Metric
	for schema := int32(-4); schema <= 8; schema++ {
		text := strconv.Itoa(int(schema))
		ints = append(ints, native(step, schema, false, false, false, "schema", text))
		floats = append(floats, native(step, schema, true, false, false, "schema", text))
		gauges = append(gauges, native(step, schema, schema%2 == 0, true, false, "schema", text))
	}
	ints = append(ints, native(step, 3, false, false, true, "schema", "3", "sum", "nan"))
	if step%16 < 11 {
		// Series that end and come back: stale markers of both kinds.
		out = append(out, family("exposer_visitor", "Comes and goes.", "", dto.MetricType_GAUGE, gauge(n)))
		ints = append(ints, native(step, 2, false, false, false, "schema", "2", "visitor", "yes"))
		floats = append(floats, native(step, 2, true, false, false, "schema", "2", "visitor", "yes"))
	}
	return append(out,
		family("exposer_native", "Integer counts.", "", dto.MetricType_HISTOGRAM, ints...),
		family("exposer_native_float", "Float counts.", "", dto.MetricType_HISTOGRAM, floats...),
		family("exposer_native_gauge", "Counts that go up and down.", "", dto.MetricType_GAUGE_HISTOGRAM, gauges...))
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: exposer HOST:PORT")
	}
	var steps atomic.Int64
	http.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		format := expfmt.Negotiate(r.Header)
		w.Header().Set("Content-Type", string(format))
		encoder := expfmt.NewEncoder(w, format)
		for _, f := range families(int(steps.Add(1))) {
			if err := encoder.Encode(f); err != nil {
				log.Printf("family %s: %v", f.GetName(), err)
			}
		}
	})
	log.Printf("exposes on %s", os.Args[1])
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
