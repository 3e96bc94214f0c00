package core

import (
	"crypto/sha256"
	"math/big"
	"strconv"
)

// bucket decides which share of all callers a rule takes: those whose position is under the
// threshold.
//
// The position of a caller is the first 8 bytes, big-endian, of SHA-256(salt, 0x00, identity), the
// threshold percent/100 x 2^64. Nobody moves when the percentage grows but those who come in;
// different salts pick independently; and anyone can recompute it.
type bucket struct {
	percent   float64
	salt      string
	prefix    string // salt and its delimiter
	threshold uint64
	limit     string // the threshold's 8 bytes, which compare as strings do, in one step where this is interpreted
	isRamp    bool   // of the rule that a rollout raises: whom it asks is measured
}

func newBucket(salt string, percent float64) *bucket {
	t := threshold(percent)
	b := []byte{
		byte(t >> 56), byte(t >> 48), byte(t >> 40), byte(t >> 32),
		byte(t >> 24), byte(t >> 16), byte(t >> 8), byte(t),
	}
	return &bucket{percent: percent, salt: salt, prefix: salt + "\x00", threshold: t, limit: string(b)}
}

// threshold is the least whole number not under percent/100 x 2^64, computed without rounding from
// the percentage's decimal form. The percentage is above 0 and below 100: both ends need no bucket.
func threshold(percent float64) uint64 {
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(percent, 'f', -1, 64))
	exact.Mul(exact, new(big.Rat).SetFrac(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(100)))
	whole, rest := new(big.Int).QuoRem(exact.Num(), exact.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	return whole.Uint64()
}

// takes reports whether the caller of that identity is under the threshold.
func takes(b *bucket, id string) bool {
	sum := digest(b.prefix, id)
	return string(sum[:8]) < b.limit
}

// position returns the identity's place between 0 and 2^64.
func position(b *bucket, id string) uint64 {
	return saltedPosition(b.prefix, id)
}

func saltedPosition(prefix, id string) uint64 {
	sum := digest(prefix, id)
	var p uint64
	for _, c := range sum[:8] {
		p = p<<8 | uint64(c)
	}
	return p
}

// digest hashes salt and identity without allocating for identities of ordinary length.
func digest(prefix, id string) [sha256.Size]byte {
	var room [128]byte
	return sha256.Sum256(append(append(room[:0], prefix...), id...))
}
