package audit

import "io"

func (d *Document) WriteText(w io.Writer) error { return d.WriteJSON(w) }
func (d *Document) WriteHTML(w io.Writer) error { return d.WriteJSON(w) }
