package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/cedar-policy/cedar-go"
)

// Asked is a policy in Cedar's text with the questions that are put to it.
type Asked struct {
	Policy    string     `json:"policy"`
	Questions []Question `json:"questions"`
}

// Question is a request with the entities that rules may look at, both in Cedar's JSON.
type Question struct {
	Principal UID             `json:"principal"`
	Action    UID             `json:"action"`
	Resource  UID             `json:"resource"`
	Context   json.RawMessage `json:"context"`
	Entities  json.RawMessage `json:"entities"`
}

// UID is an entity's type and id.
type UID struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Answered is what cedar-go says: the rules that decided and those that failed, by their numbers in the text.
type Answered struct {
	Allowed bool     `json:"allowed"`
	Reasons []string `json:"reasons"`
	Errors  []string `json:"errors"`
}

// decideAll answers every question of a file of policies, in their order.
func decideAll(file string) (any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var asked []Asked
	if err := json.Unmarshal(data, &asked); err != nil {
		return nil, err
	}
	answers := make([][]Answered, len(asked))
	for at, each := range asked {
		policies, err := cedar.NewPolicySetFromBytes("policy", []byte(each.Policy))
		if err != nil {
			return nil, fmt.Errorf("policy %d: %w", at, err)
		}
		for _, question := range each.Questions {
			answered, err := decideOne(policies, question)
			if err != nil {
				return nil, fmt.Errorf("policy %d: %w", at, err)
			}
			answers[at] = append(answers[at], answered)
		}
	}
	return answers, nil
}

func decideOne(policies *cedar.PolicySet, question Question) (Answered, error) {
	answered := Answered{Reasons: []string{}, Errors: []string{}}
	var context cedar.Record
	if err := json.Unmarshal(question.Context, &context); err != nil {
		return answered, err
	}
	var entities cedar.EntityMap
	if err := json.Unmarshal(question.Entities, &entities); err != nil {
		return answered, err
	}
	request := cedar.Request{
		Principal: question.Principal.named(),
		Action:    question.Action.named(),
		Resource:  question.Resource.named(),
		Context:   context,
	}
	decision, found := cedar.Authorize(policies, entities, request)
	answered.Allowed = decision == cedar.Allow
	for _, reason := range found.Reasons {
		answered.Reasons = append(answered.Reasons, string(reason.PolicyID))
	}
	for _, failure := range found.Errors {
		answered.Errors = append(answered.Errors, string(failure.PolicyID))
	}
	return answered, nil
}

func (u UID) named() cedar.EntityUID {
	return cedar.NewEntityUID(cedar.EntityType(u.Type), cedar.String(u.ID))
}
