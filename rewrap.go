package rowseal

import (
	"context"
)

func (e *engine) rewrap(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, (*rowKey).planRewrap)
	var jobs []*job
	for _, k := range work {
		if k.err == nil && k.job != nil {
			jobs = append(jobs, k.job)
		}
	}
	rewrapAll(ctx, jobs)
	for _, k := range work {
		if k.err == nil && k.job != nil {
			k.err = k.commitRewrap()
		}
	}
	return batchError(work, len(records))
}

func (k *rowKey) planRewrap() (err error) {
	if k.isMaster() || k.dk.IsNull() {
		return nil
	}
	if err := k.checkContext(); err != nil {
		return err
	}
	k.job, err = k.newJob()
	return err
}

func (k *rowKey) commitRewrap() error {
	if k.job.err != nil {
		return k.job.err
	}
	opened := k.dk.h.unwrapped()
	if opened != nil {
		row, err := k.identity(k.job.ec)
		if err != nil {
			return err
		}
		opened = opened.in(row)
	}
	dk := k.dk.replace(k.wrappedAnew(), opened)
	dk.h.before, dk.h.replaced, dk.h.print = k.dk.h, k.dk.h.loses(), k.dk.h.fingerprint()
	*k.dk = dk
	return nil
}
