package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

func routes(in *inbox) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /applications", in.post)
	mux.HandleFunc("PUT /applications/{id}", in.put)
	mux.HandleFunc("GET /healthz", in.health)
	return mux
}

func (in *inbox) post(w http.ResponseWriter, r *http.Request) {
	f, ok := read(w, r)
	if !ok {
		return
	}
	id, err := in.add(r.Context(), f)
	if err != nil {
		refuse(w, r, err)
		return
	}
	w.Header().Set("Location", "/applications/"+id)
	w.WriteHeader(http.StatusCreated)
}

func (in *inbox) put(w http.ResponseWriter, r *http.Request) {
	f, ok := read(w, r)
	if !ok {
		return
	}
	if err := in.replace(r.Context(), r.PathValue("id"), f); err != nil {
		refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// health asks the database and not the KMS, which would log a request every few seconds.
func (in *inbox) health(w http.ResponseWriter, r *http.Request) {
	if err := in.check(r.Context(), &rowseal.CheckOptions{NoKMS: true}); err != nil {
		slog.ErrorContext(r.Context(), "unhealthy", "err", err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// read takes a form from a request. What json says of a body may quote it, and goes nowhere.
func read(w http.ResponseWriter, r *http.Request) (f form, ok bool) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if d.Decode(&f) != nil || f.Name == "" || f.Email == "" {
		http.Error(w, "want JSON with name, email and statement", http.StatusBadRequest)
		return form{}, false
	}
	return f, true
}

// refuse tells the client nothing of the inside. Errors of rowseal name rows and columns, and no values.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case errors.Is(err, rowseal.ErrConflict):
		http.Error(w, "somebody else has changed the application; try again", http.StatusConflict)
		return
	}
	slog.ErrorContext(r.Context(), "request failed", "pattern", r.Pattern, "err", err)
	if errors.Is(err, kms.ErrUnavailable) || errors.Is(err, kms.ErrThrottled) {
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "this did not work", http.StatusInternalServerError)
}
