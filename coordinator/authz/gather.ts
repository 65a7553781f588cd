/**
 * Questions to an engine that takes one call at a time: those that come while a call is under way go together in the
 * next one. A call costs the embedded engine a millisecond, and a further question in it a twentieth of that. Nobody
 * waits for company: an idle engine is asked at once.
 */

interface Waiting<Question, Answer> {
  questions: readonly Question[];
  resolve(answers: Answer[]): void;
  reject(error: unknown): void;
}

/** `ask` answers in order, or rejects for all of a call; it gets at most `max` questions, or those of one caller. */
export function gather<Question, Answer>(
  ask: (questions: readonly Question[]) => Promise<Answer[]>,
  max: number,
): (questions: readonly Question[]) => Promise<Answer[]> {
  const waiting: Waiting<Question, Answer>[] = [];
  let underWay = false;
  const next = async (): Promise<void> => {
    const call = takeCall(waiting, max);
    underWay = call.length > 0;
    if (!underWay) return;
    try {
      const answers = await ask(call.flatMap(({ questions }) => questions));
      let from = 0;
      for (const { questions, resolve } of call) {
        resolve(answers.slice(from, from + questions.length));
        from += questions.length;
      }
    } catch (error) {
      for (const { reject } of call) reject(error);
    }
    void next();
  };
  return (questions) =>
    new Promise((resolve, reject) => {
      waiting.push({ questions, resolve, reject });
      if (!underWay) void next();
    });
}

function takeCall<Question, Answer>(waiting: Waiting<Question, Answer>[], max: number): Waiting<Question, Answer>[] {
  let callers = 0;
  for (let size = 0; callers < waiting.length; callers++) {
    size += waiting[callers]?.questions.length ?? 0;
    if (size > max && callers > 0) break;
  }
  return waiting.splice(0, callers);
}
