package rollout

import (
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// prometheusAPI asks a running Prometheus.
type prometheusAPI struct {
	t   testing.TB
	url string
}

// answered are the series of a query's result, each with its values.
type answered []struct {
	Metric map[string]string `json:"metric"`
	Value  []any             `json:"value"`  // of an instant
	Values [][]any           `json:"values"` // of a time
}

// highest is the highest number of a result; NaN if there is none.
func (a answered) highest() float64 {
	most := math.NaN()
	for _, series := range a {
		for _, pair := range append(series.Values, series.Value) {
			if len(pair) < 2 {
				continue
			}
			n, err := strconv.ParseFloat(pair[1].(string), 64)
			if err == nil && (math.IsNaN(most) || n > most) {
				most = n
			}
		}
	}
	return most
}

// get asks the API, which must find nothing wrong.
func (p prometheusAPI) get(path string, values url.Values, result any) {
	p.t.Helper()
	res, err := client.Get(p.url + path + "?" + values.Encode())
	require.NoError(p.t, err)
	defer res.Body.Close()
	answer := struct {
		Status, Error string
		Data          json.RawMessage
	}{}
	require.NoError(p.t, json.NewDecoder(res.Body).Decode(&answer))
	require.Equal(p.t, "success", answer.Status, "%s %s: %s", path, values, answer.Error)
	require.NoError(p.t, json.Unmarshal(answer.Data, result))
}

// now asks a query about this moment.
func (p prometheusAPI) now(query string) answered {
	p.t.Helper()
	var data struct{ Result answered }
	p.get("/api/v1/query", url.Values{"query": {query}}, &data)
	return data.Result
}

// since asks a query about each second since a time, the current one included.
func (p prometheusAPI) since(query string, begin time.Time) answered {
	p.t.Helper()
	var data struct{ Result answered }
	end := time.Now().Add(time.Second)
	p.get("/api/v1/query_range", url.Values{"query": {query}, "start": {unix(begin)}, "end": {unix(end)}, "step": {"1"}},
		&data)
	return data.Result
}

// series are the labels of all series that a selector chooses.
func (p prometheusAPI) series(selector string) []map[string]string {
	p.t.Helper()
	var list []map[string]string
	p.get("/api/v1/series", url.Values{"match[]": {selector}}, &list)
	return list
}

// values are the values of a label, of the series that a selector chooses.
func (p prometheusAPI) values(label, selector string) []string {
	p.t.Helper()
	var list []string
	p.get("/api/v1/label/"+label+"/values", url.Values{"match[]": {selector}}, &list)
	return list
}

func unix(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }
