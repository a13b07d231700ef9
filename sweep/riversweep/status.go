package riversweep

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/rowseal/rowseal/sweep"
)

// Status is how far a sweep is, over all its parts.
type Status struct {
	Sweep, Table, Step string
	// State is Running where some part is, Waiting where some part waits for its turn, then Failed, Stopped or Done. "": never started.
	State sweep.State
	sweep.Counts
	Estimate int64 // of all rows that are to be visited; 0: not known
	Parts    []Part
}

// Part is how far a part is.
type Part struct {
	Part  int
	State sweep.State
	sweep.Counts
	Job     rivertype.JobState // of its last job; "": River has forgotten it
	Owner   string             // the process that is at it
	Updated time.Time          // when a page was done last, by the database's clock
	Error   string             // why it failed, is tried again or waits
}

// Status tells how far a sweep is: the last one of the name's table and step that was divided like the jobs that are under way, or
// else like the one that did something last. It makes no request to a KMS.
func (f *Fleet) Status(ctx context.Context, client Client, name string) (Status, error) {
	p, err := f.toStart(name, 1, nil)
	if err != nil {
		return Status{}, err
	}
	st := Status{Sweep: name, Table: p.table(), Step: p.step.Name()}
	jobs, err := jobsOf(ctx, client, name, rivertype.JobStates()...)
	if err != nil {
		return st, err
	}
	all, err := p.saved(ctx)
	if err != nil {
		return st, err
	}
	if st.Estimate, err = p.DB.EstimateRows(ctx, st.Table); err != nil {
		return st, err
	}
	st.Parts = make([]Part, divided(jobs, all))
	for i := range st.Parts {
		st.Parts[i] = partOf(i+1, len(st.Parts), jobs, all)
		st.add(st.Parts[i].Counts)
	}
	st.State = together(st.Parts)
	return st, nil
}

// divided is the number of parts of the last sweep.
func divided(jobs []*rivertype.JobRow, all []saved) int {
	parts := 0
	if len(all) > 0 {
		parts = all[0].parts
	}
	for _, job := range jobs {
		if isLive(job.State) || parts == 0 {
			return argsOf(job).Parts
		}
	}
	return parts
}

func argsOf(job *rivertype.JobRow) (a Args) {
	_ = json.Unmarshal(job.EncodedArgs, &a) // Start has written it
	return a
}

// partOf puts together what River and package sweep know of a part.
func partOf(n, parts int, jobs []*rivertype.JobRow, all []saved) Part {
	p := Part{Part: n}
	var v saved
	if i := slices.IndexFunc(all, func(v saved) bool { return v.part == n && v.parts == parts }); i >= 0 {
		v = all[i]
		p.Counts, p.Updated, p.Error = v.counts, v.updated, v.message
	}
	job := &rivertype.JobRow{}
	if i := slices.IndexFunc(jobs, func(job *rivertype.JobRow) bool { a := argsOf(job); return a.Part == n && a.Parts == parts }); i >= 0 {
		job = jobs[i]
		p.Job = job.State
	}
	switch {
	case v.state == string(sweep.Done):
		p.State = sweep.Done
	case v.alive:
		p.State, p.Owner = sweep.State(v.state), v.owner
	case isLive(job.State):
		p.State, p.Error = sweep.Waiting, cmp.Or(reasonOf(job), p.Error)
	case v.state == string(sweep.Failed), isFailed(job):
		p.State, p.Error = sweep.Failed, cmp.Or(p.Error, reasonOf(job))
	default:
		p.State = sweep.Stopped
	}
	return p
}

// isFailed tells whether River will not try a job again, and nobody has wanted that.
func isFailed(job *rivertype.JobRow) bool {
	switch job.State {
	case rivertype.JobStateDiscarded:
		return true
	case rivertype.JobStateCancelled:
		return !isStopping(job) && !strings.Contains(reasonOf(job), errStopped.Error())
	}
	return false
}

// reasonOf is why a job is not done.
func reasonOf(job *rivertype.JobRow) string {
	if reason := waits(job); reason != "" {
		return reason
	}
	if n := len(job.Errors); n > 0 && job.State != rivertype.JobStateAvailable {
		return job.Errors[n-1].Error
	}
	return ""
}

// together is the state of all parts.
func together(parts []Part) sweep.State {
	for _, state := range []sweep.State{sweep.Running, sweep.Paused, sweep.Waiting, sweep.Failed, sweep.Stopped, sweep.Done} {
		if slices.ContainsFunc(parts, func(p Part) bool { return p.State == state }) {
			return state
		}
	}
	return ""
}

func (st *Status) add(c sweep.Counts) {
	sum := &st.Counts
	sum.Rows += c.Rows
	sum.Changed += c.Changed
	sum.Unchanged += c.Unchanged
	sum.Gone += c.Gone
	sum.Conflicts += c.Conflicts
	sum.Quarantined += c.Quarantined
	sum.Leftovers += c.Leftovers
	sum.Requests += c.Requests
	sum.Throttled += c.Throttled
	sum.Reading += c.Reading
	sum.Working += c.Working
	sum.Writing += c.Writing
}
