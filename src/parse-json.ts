import * as v from 'valibot'

/** Reads JSON from outside as what `schema` says; undefined where it is no JSON, or something else. */
export function parseJson<const Schema extends v.GenericSchema>(
  text: string,
  schema: Schema,
): v.InferOutput<Schema> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const result = v.safeParse(schema, value)
  return result.success ? result.output : undefined
}
