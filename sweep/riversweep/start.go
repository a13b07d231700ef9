package riversweep

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sweep"
)

// Start inserts the jobs of a sweep that is divided into parts, and returns how many. Parts that have a job already get no second one, so
// that Start may be called twice. Where an earlier sweep of the same parts was stopped or has failed, only what is not done of it
// gets jobs, and goes on where it was; where all of it is done, all is done anew.
//
// Some parts a worker are good: those that end early leave their workers to the others. settings are for Sweep.Step, encoded as JSON; nil:
// none. While jobs of the sweep are under way, other parts or settings are sweep.ErrBusy, and so is a sweep that is still being stopped.
func (f *Fleet) Start(ctx context.Context, client Client, name string, parts int, settings any) (inserted int, err error) {
	p, err := f.toStart(name, parts, settings)
	if err != nil {
		return 0, err
	}
	jobs, err := jobsOf(ctx, client, name, live...)
	if err != nil {
		return 0, err
	}
	for _, job := range jobs {
		if err := p.refuse(job); err != nil {
			return 0, err
		}
	}
	done, err := p.begin(ctx, len(jobs) > 0)
	if err != nil {
		return 0, err
	}
	return f.insert(ctx, client, p, done)
}

// begin tells which parts need no job, after it has forgotten what an earlier sweep has done if that is at its end.
func (p *part) begin(ctx context.Context, underWay bool) (done map[int]bool, err error) {
	done, settings, err := p.done(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(done) < p.Parts && len(done) > 0:
		return done, p.forget(ctx, settings)
	case underWay && len(done) > 0:
		return nil, fmt.Errorf("riversweep: sweep %q has just come to its end; try again: %w", p.Args.Sweep, sweep.ErrBusy)
	case len(done) > 0:
		return nil, p.forget(ctx, "")
	}
	return nil, nil
}

func (f *Fleet) toStart(name string, parts int, settings any) (*part, error) {
	a := Args{Sweep: name, Part: 1, Parts: parts}
	if settings != nil {
		var err error
		if a.Settings, err = json.Marshal(settings); err != nil {
			return nil, fmt.Errorf("riversweep: sweep %q: the settings are none that JSON can hold (%w): %w", name, err, kms.ErrInvalidRequest)
		}
	}
	return f.open(a)
}

// insert makes jobs of the parts that are not done.
func (f *Fleet) insert(ctx context.Context, client Client, p *part, done map[int]bool) (inserted int, err error) {
	var params []river.InsertManyParams
	for i := 1; i <= p.Parts; i++ {
		if !done[i] {
			a := p.Args
			a.Part = i
			params = append(params, river.InsertManyParams{Args: a, InsertOpts: &river.InsertOpts{Queue: f.Queue}})
		}
	}
	results, err := client.InsertMany(ctx, params)
	if err != nil {
		return 0, fmt.Errorf("riversweep: the jobs of sweep %q cannot be inserted: %w", p.Args.Sweep, err)
	}
	for _, r := range results {
		if !r.UniqueSkippedAsDuplicate {
			inserted++
		}
	}
	return inserted, nil
}

// refuse tells why a job that is under way does not go with this sweep.
func (p *part) refuse(job *rivertype.JobRow) error {
	var a Args
	if err := json.Unmarshal(job.EncodedArgs, &a); err != nil {
		return err
	}
	switch {
	case a.Parts != p.Parts:
		return fmt.Errorf("riversweep: sweep %q is under way in %d parts; stop it first: %w", a.Sweep, a.Parts, sweep.ErrBusy)
	case !sameJSON(a.Settings, p.Settings):
		return fmt.Errorf("riversweep: sweep %q is under way with other settings; stop it first: %w", a.Sweep, sweep.ErrBusy)
	case isStopping(job):
		return fmt.Errorf("riversweep: part %d of sweep %q is still being stopped; try again when Status says that it is: %w", a.Part, a.Sweep, sweep.ErrBusy)
	}
	return nil
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	_ = json.Unmarshal(a, &x) // none is nil
	_ = json.Unmarshal(b, &y)
	return reflect.DeepEqual(x, y)
}

// isStopping tells whether a job that is running will be cancelled when it returns; see river.Client.JobCancel.
func isStopping(job *rivertype.JobRow) bool {
	var m struct {
		At json.RawMessage `json:"cancel_attempted_at"`
	}
	return json.Unmarshal(job.Metadata, &m) == nil && m.At != nil
}

// jobsOf lists the jobs of a sweep in some states, the newest first.
func jobsOf(ctx context.Context, client Client, name string, states ...rivertype.JobState) ([]*rivertype.JobRow, error) {
	const most = 10_000 // that River lists
	list, err := client.JobList(ctx, river.NewJobListParams().Kinds(Args{}.Kind()).States(states...).
		Where("args->>'sweep' = @rowseal_sweep", river.NamedArgs{"rowseal_sweep": name}).
		OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(most))
	if err != nil {
		return nil, fmt.Errorf("riversweep: the jobs of sweep %q cannot be listed: %w", name, err)
	}
	return list.Jobs, nil
}

// Stop is the stop button: jobs that wait are cancelled, those that run finish their page first. It returns how many there were, and does
// not wait for their end; Status tells. A later Start goes on from there. The name need not be one of the Fleet's.
//
// A job whose process was killed ends when River rescues it: until then, Start says that it is still being stopped.
func (f *Fleet) Stop(ctx context.Context, client Client, name string) (stopped int, err error) {
	jobs, err := jobsOf(ctx, client, name, live...)
	if err != nil {
		return 0, err
	}
	for _, job := range jobs {
		if _, err := client.JobCancel(ctx, job.ID); err != nil {
			return stopped, fmt.Errorf("riversweep: job %d of sweep %q cannot be cancelled: %w", job.ID, name, err)
		}
		stopped++
	}
	return stopped, nil
}
