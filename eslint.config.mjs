import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** tfjs ops whose second derivative is wrong, missing or throws: `tensor/ops.ts` has right ones. */
const WRONG_TWICE =
  'exp|tanh|sigmoid|softmax|logSoftmax|elu|selu|max|min|pow|logSumExp|clipByValue|losses|einsum|gatherND|stridedSlice|topk|cumprod|addN';

export default tseslint.config(
  { ignores: ['dist/', 'runs/', 'node_modules/', 'src/tensor/kernels/wasm/assembly/', '**/*.mjs', '**/*.cjs'] },
  eslint.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  { languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } } },
  {
    rules: {
      '@typescript-eslint/require-await': 'off', // interfaces are async where the other engine is
      '@typescript-eslint/no-require-imports': 'off', // optional packages are loaded where they are needed
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true, allowArray: true }],
      '@typescript-eslint/no-unnecessary-type-assertion': 'off', // tfjs infers every shape from its context
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'max-len': ['error', { code: 140 }],
      'max-lines': ['error', 350],
      'max-lines-per-function': ['error', { max: 50, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: ['src/**'],
    ignores: ['src/tensor/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: `MemberExpression[object.name='tf']:matches([property.name=/^(${WRONG_TWICE})$/], [property.value=/^(${WRONG_TWICE})$/])`,
          message: 'Its second derivative in tfjs is wrong or missing: use tensor/ops.ts.',
        },
      ],
    },
  },
  {
    files: ['test/**'],
    rules: {
      'max-len': 'off', // cells and tables that are read as a line
      'max-lines-per-function': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
);
