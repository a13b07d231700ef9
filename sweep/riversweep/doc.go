// Package riversweep lets many machines share one sweep. The table is divided into parts, and each part is a job of River
// (https://riverqueue.com), a queue on PostgreSQL:
//
//	fleet := &riversweep.Fleet{Sweeps: map[string]riversweep.Sweep{"rewrap users": …}}
//	fleet.AddTo(workers)                                        // on each machine, before river.NewClient
//	fleet.Start(ctx, client, "rewrap users", 8, nil)            // once, anywhere
//	fleet.Status(ctx, client, "rewrap users")
//	fleet.Stop(ctx, client, "rewrap users")
//
// # What holds
//
//   - A job works for a turn, a minute, and goes back into the queue. So no part starves, a deployment waits for a page rather than for
//     a table, and River's rescuer may be told that a job which has been running for minutes is dead.
//   - The place in each part is kept by package sweep in rowseal_sweeps, with a lease. Whichever machine has the next turn goes on there. Where
//     a process is killed, the page at hand is done again, and nothing else.
//   - Errors that may pass are River's to retry, by the client's policy. Those that cannot pass, such as a key that refuses access, cancel
//     the job of the part. Start goes on with what is not done.
//   - A [Bucket] is the limit of requests a second to a KMS key of all machines together.
//
// Nothing secret gets into a job: its arguments are a name, numbers and the settings that Start was given. Whoever may write to River's
// tables can start what is registered, and nothing else.
//
// River is licensed under the MPL-2.0. This package is a module of its own, so that a program without it has nothing of it.
package riversweep
