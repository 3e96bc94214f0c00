// Package rollout decides where a rollout is: the loop of releases as a pure function.
//
//	next, verdicts := rollout.Next(plan, state, evidence, now)
//	next, err := rollout.Do(plan, state, rollout.Command{Verb: rollout.Approve, By: "ann"}, now)
//
// The plan comes from the policy, the state from the document beside it, the evidence from a
// guard.Tracker. Whoever calls keeps time, and writes the state by compare-and-set if it is another
// one: what raises a percentage only if the write succeeds, what lowers one at once.
//
// Phases are waiting (for a person, or the end of a freeze), running, paused, baking (the last
// step), completed, and from each of these rolled-back.
//
//   - A state of another plan is none: a new attempt begins.
//   - A guard that finds the canary bad acts in every phase. Rolling back outranks everything, and
//     stays until `retry` or another plan.
//   - A step is over when its time is, every guard is good, and a person has approved it, if it
//     says so. Without traffic no guard is good, and nothing moves.
//   - Epochs only grow, by one with every change.
package rollout
