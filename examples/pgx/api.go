package main

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/audit"
)

// api answers requests with what the store has.
type api struct{ *store }

func routes(s *store) http.Handler {
	a, mux := api{s}, http.NewServeMux()
	mux.Handle("POST /customers", handler(a.post))
	mux.Handle("GET /customers", handler(a.search)) // ?email=…
	mux.Handle("GET /customers/{id}", handler(a.show))
	mux.Handle("PATCH /customers/{id}", handler(a.patch))
	mux.Handle("DELETE /customers/{id}", handler(a.remove))
	mux.Handle("GET /healthz", handler(a.health))
	return named(logged(mux))
}

// named tells the ledger who asks, as whoever checked the user in front says, and for what.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := audit.WithActor(r.Context(), r.Header.Get("X-Forwarded-User"), r.Header.Get("X-Purpose"))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (a api) post(r *http.Request) (status int, body any, err error) {
	var p patch
	if err := p.read(r); err != nil {
		return 0, nil, err
	}
	c := &Customer{ID: rand.Text()} // an id of our own: the row can be sealed before the database has seen it
	if err := p.apply(c); err != nil {
		return 0, nil, err
	}
	if err := a.create(r.Context(), c); err != nil {
		return 0, nil, err
	}
	body, err = documentOf(c)
	return http.StatusCreated, body, err
}

func (a api) show(r *http.Request) (status int, body any, err error) {
	c, err := a.get(r.Context(), r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	body, err = documentOf(c)
	return http.StatusOK, body, err
}

func (a api) search(r *http.Request) (status int, body any, err error) {
	c, err := a.getByEmail(r.Context(), r.FormValue("email"))
	if err != nil {
		return 0, nil, err
	}
	body, err = documentOf(c)
	return http.StatusOK, body, err
}

func (a api) patch(r *http.Request) (status int, body any, err error) {
	var p patch
	if err := p.read(r); err != nil {
		return 0, nil, err
	}
	c, err := a.get(r.Context(), r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	if err := p.apply(c); err != nil {
		return 0, nil, err
	}
	if err := a.update(r.Context(), c); err != nil {
		return 0, nil, err
	}
	body, err = documentOf(c)
	return http.StatusOK, body, err
}

func (a api) remove(r *http.Request) (status int, body any, err error) {
	return http.StatusNoContent, nil, a.delete(r.Context(), r.PathValue("id"))
}

// health asks the database and not the KMS, which would log a request every few seconds.
func (a api) health(r *http.Request) (status int, body any, err error) {
	if err := a.check(r.Context(), &rowseal.CheckOptions{NoKMS: true}); err != nil {
		slog.ErrorContext(r.Context(), "unhealthy", "err", err)
		return http.StatusServiceUnavailable, nil, nil
	}
	return http.StatusOK, nil, nil
}

// handler returns what is to be answered, in JSON.
type handler func(*http.Request) (status int, body any, err error)

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body, err := h(r)
	if err != nil {
		status, body = problemOf(r, err)
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.WarnContext(r.Context(), "the client has gone", "pattern", r.Pattern)
	}
}

// logged notes each request by its pattern: the URL may have an e-mail address in it.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, s := time.Now(), &statusWriter{ResponseWriter: w}
		next.ServeHTTP(s, r)
		slog.InfoContext(r.Context(), "request", "pattern", r.Pattern, "status", s.status, "ms", time.Since(start).Milliseconds())
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
