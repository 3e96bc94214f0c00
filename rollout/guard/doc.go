// Package guard judges a canary: whether its callers fail, or wait, more often than those of the
// stable version.
//
// # The unit is the caller
//
// Requests of one caller are no independent draws: they share a bucket, a client and a habit. So
// each caller counts once, at its first bad event. If the version makes no difference,
// the arm of a caller that was not bad before is a Bernoulli draw of the hash with the share of the
// canary, whatever the traffic does: error rates that drift, an outage of everything, one client
// that fails a thousand times, a share that has grown meanwhile.
//
// # The test
//
// With K bad callers of the canary, N_s bad callers of both arms while the share was p_s, and the
// tolerance r0 (up to r0 times as bad is fine),
//
//	ln E(r) = K ln(r/r0) - sum_s N_s ln[(1 + p_s (r-1)) / (1 + p_s (r0-1))]
//
// is the logarithm of a likelihood ratio, and E, the mean of E(r) over r = r0 x {1.3, 1.7, 2.5, 5,
// 10, 30, 100}, an e-process: if the true ratio is at most r0, then P(E ever reaches 1/alpha) <=
// alpha, by Ville's inequality. One may look at any time, as often as one likes, and stop when one
// wants to.
//
// A mixture gets slow after a long healthy time, since the evidence for health has to be made up
// for. So copies of it start at each step and at every 200 bad callers. Copy j has the weight
// 1/(j(j+1)), what is left stays cash with the value 1, and the sum is an e-process again.
//
// Counting a caller once would make a guard blind where everybody has been bad once, as is soon the
// case with "slow", or after an outage. So the set of callers is emptied when half of them have
// been bad again, and evidence begins anew. Each such generation g is an e-process of its own, of
// its own callers, and gets the share w_g of alpha, 4/5 the first and 1/(5 g (g-1)) the others: by
// the union bound, P(any w_g E_g ever reaches 1/alpha) <= alpha.
//
// A limit, such as errors under 2 %, is the same test with the limit in place of the share: among
// callers that do not exceed it, a bad one is a draw with at most that probability.
//
// For a limit a caller counts once a minute, since over a day everybody fails once. Callers who
// fail minute after minute make it less exact than the comparison with stable.
//
// # Sources
//
//   - Lindon, Malek: Anytime-valid inference for multinomial count data, arXiv 2011.03567
//   - Lindon, Sanden, Shirikian: Rapid regression detection in software deployments through
//     sequential testing, arXiv 2205.14762
//   - Vovk, Wang: E-values: calibration, combination and applications, arXiv 1912.06116
//   - Shin, Ramdas, Rinaldo: E-detectors, a nonparametric framework for sequential change
//     detection, arXiv 2203.03532
//   - Ertl: New cardinality estimation algorithms for HyperLogLog sketches, arXiv 1702.01284
package guard
