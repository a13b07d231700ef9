package cli

import (
	"container/heap"

	"github.com/rowseal/rowseal/audit"
)

// inOrder puts events in the order of their times, which those of CloudTrail are not in, as far as mostHeld of them let it.
type inOrder struct{ held byTime }

const mostHeld = 100_000

// add takes an event and returns what has its turn.
func (o *inOrder) add(e audit.Event) []audit.Event {
	heap.Push(&o.held, e)
	if len(o.held) <= mostHeld {
		return nil
	}
	return []audit.Event{heap.Pop(&o.held).(audit.Event)}
}

func (o *inOrder) rest() []audit.Event {
	var all []audit.Event
	for len(o.held) > 0 {
		all = append(all, heap.Pop(&o.held).(audit.Event))
	}
	return all
}

type byTime []audit.Event

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].Time.Before(h[j].Time) }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(x any)        { *h = append(*h, x.(audit.Event)) }
func (h *byTime) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
