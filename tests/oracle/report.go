package main

import "fmt"

// Report is what was checked, what became of flipped bytes, and what was not as it should be.
type Report struct {
	Checks []*Check `json:"checks"`
	Flips  []*Flip  `json:"flips"`
	Faults []string `json:"faults"`
}

// Check is one kind of check over all logs: how many logs, and how many things in them, passed it.
type Check struct {
	What  string `json:"what"`
	By    string `json:"by"`
	Logs  int    `json:"logs"`
	Items int    `json:"items"`
}

// Flip is one kind of file in which single bytes were flipped: how many were, how many of them were refused, and one
// refusal as an example.
type Flip struct {
	What    string `json:"what"`
	By      string `json:"by"`
	Flipped int    `json:"flipped"`
	Refused int    `json:"refused"`
	Example string `json:"example"`
}

func (r *Report) passed(what, by string, items int) {
	for _, check := range r.Checks {
		if check.What == what && check.By == by {
			check.Logs++
			check.Items += items
			return
		}
	}
	r.Checks = append(r.Checks, &Check{what, by, 1, items})
}

// flipped notes what a check said of a flipped byte: place names the file and the byte, none of them refuses it.
func (r *Report) flipped(what, by, place string, refusal error) {
	var flip *Flip
	for _, each := range r.Flips {
		if each.What == what && each.By == by {
			flip = each
		}
	}
	if flip == nil {
		flip = &Flip{What: what, By: by}
		r.Flips = append(r.Flips, flip)
	}
	flip.Flipped++
	if refusal == nil {
		r.fault("%s: a flipped byte was accepted by %s", place, by)
		return
	}
	flip.Refused++
	if flip.Example == "" {
		flip.Example = fmt.Sprintf("%s: %v", place, refusal)
	}
}

func (r *Report) fault(format string, values ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, values...))
}
