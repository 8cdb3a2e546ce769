import { type ParseErrorCode, printParseErrorCode } from 'jsonc-parser'

const WORDS: Readonly<Record<string, string>> = {
  InvalidSymbol: 'this word is not JSON; texts and names stand in double quotes',
  InvalidNumberFormat: 'this is not a number',
  PropertyNameExpected: 'a name in double quotes was expected here; there may be a comma too many before it',
  ValueExpected: 'a value was expected here; there may be a comma too many before it',
  ColonExpected: 'a colon was expected here',
  CommaExpected: 'a comma was expected here',
  CloseBraceExpected: 'a closing } was expected here',
  CloseBracketExpected: 'a closing ] was expected here',
  EndOfFileExpected: 'nothing was expected after the closing }',
  UnexpectedEndOfComment: 'this comment has no end',
  UnexpectedEndOfString: 'this text has no closing double quote',
  UnexpectedEndOfNumber: 'this number breaks off',
  InvalidUnicode: 'this is not a character; \\u is followed by four hexadecimal digits',
  InvalidEscapeCharacter: 'this backslash means nothing; write \\\\ for the character itself',
  InvalidCharacter: 'this character may not stand in a text; write it with a backslash',
}

/** What jsonc-parser found wrong, in words for whoever wrote the file. */
export function jsonProblem(code: ParseErrorCode): string {
  const name = printParseErrorCode(code)
  return WORDS[name] ?? name
}
