package discover

import "math"

// maxEntries bounds how many more entries than instances a list of upstreams has.
const maxEntries = 256

// Upstreams returns the addresses of instances for a balancer that treats all alike: an instance
// with three times the weight of another is in the list three times. Each is in it at least once,
// and weights that ask for more than 256 further entries count less.
func Upstreams(instances []Instance) []string {
	least, sum := math.Inf(1), 0.0
	for _, i := range instances {
		if i.Weight > 0 {
			least = math.Min(least, i.Weight)
			sum += i.Weight
		}
	}
	entries := math.Min(sum/least, maxEntries)
	upstreams := make([]string, 0, len(instances))
	for _, i := range instances {
		upstreams = append(upstreams, i.URL)
		for repeats := i.Weight / sum * entries; repeats >= 1.5; repeats-- {
			upstreams = append(upstreams, i.URL)
		}
	}
	return upstreams
}
